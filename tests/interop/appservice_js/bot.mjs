// A bridge with matrix-bot-sdk, driven by lines of JSON: see ../js/protocol.mjs and setting.mjs. With encryption, if
// the setting says so.

import { ask, directory, homeserverUrl, registration, setting } from "./setting.mjs";
import { createRequire } from "node:module";
import { join } from "node:path";

import "../js/node20.mjs";

const sdk = (await import("matrix-bot-sdk")).default;
// As crypto.cjs has it.
const { StoreType } = createRequire(import.meta.url)("@matrix-org/matrix-sdk-crypto-nodejs");
const { serve } = await import("../js/protocol.mjs");
const { Names } = await import("./names.mjs");
const { Network } = await import("./network.mjs");

sdk.LogService.setLevel(sdk.LogLevel.WARN);
const names = new Names(setting.prefix, setting.domain);
const network = new Network(setting.people, setting.channels);
const rooms = new Map();
const asked = [];

const appservice = new sdk.Appservice({
    port: setting.port,
    bindAddress: "127.0.0.1",
    homeserverName: setting.domain,
    homeserverUrl,
    registration,
    storage: new sdk.SimpleFsStorageProvider(join(directory, "appservice.json")),
    cryptoStorage: setting.encrypted
        ? new sdk.RustSdkAppserviceCryptoStorageProvider(join(directory, "crypto"), StoreType.Sqlite)
        : undefined,
    intentOptions: { encryption: Boolean(setting.encrypted) },
});
appservice.expressAppInstance.post("/_matrix/app/v1/ping", (request, response) => response.send({}));

appservice.on("query.user", (userId, create) => {
    asked.push(userId);
    const nick = names.remote(userId);
    create(network.people.has(nick) ? { display_name: `${nick} (IRC)` } : false);
});
appservice.on("query.room", (alias, create) => {
    asked.push(alias);
    const channel = names.remote(alias);
    create(network.channels.has(channel) ? { name: `#${channel}`, preset: "public_chat" } : false);
});
appservice.on("thirdparty.protocol", (_, respond) => respond(network.protocol()));
appservice.on("thirdparty.user.remote", (_, { nick }, respond) =>
    respond(network.people.has(nick) ? [names.thirdPartyUser(nick)] : []),
);
appservice.on("thirdparty.location.remote", (_, { channel }, respond) =>
    respond(network.channels.has(channel) ? [names.thirdPartyLocation(channel)] : []),
);
appservice.on("thirdparty.user.matrix", (userId, respond) => respond([names.thirdPartyUser(names.remote(userId))]));
appservice.on("thirdparty.location.matrix", (alias, respond) => respond([names.thirdPartyLocation(names.remote(alias))]));
appservice.on("query.key_claim", (body, respond) => {
    asked.push("claim");
    respond(setting.keys ? setting.keys.claim : null);
});
appservice.on("query.key", (body, respond) => {
    asked.push("keys");
    respond(setting.keys ? setting.keys.query : null);
});

appservice.on("room.invite", async (roomId, event) => {
    await appservice.getIntentForUserId(event.state_key).joinRoom(roomId);
    network.heard({ kind: "invite", nick: names.remote(event.state_key), sender: event.sender, room_id: roomId });
});
appservice.on("room.message", (roomId, event) => {
    if (!appservice.isNamespacedUser(event.sender)) {
        network.heard({ kind: "message", sender: event.sender, room_id: roomId, body: event.content.body });
    }
});
appservice.on("room.failed_decryption", (roomId, event, error) => {
    network.heard({ kind: "failure", room_id: roomId, event_id: event.event_id, error: String(error.description ?? error) });
});
appservice.on("ephemeral.event", (event) => {
    if (event.type === "m.typing") {
        network.heard({ kind: "typing", room_id: event.room_id, users: event.content.user_ids.join() });
    } else if (event.type === "m.receipt") {
        network.heard({ kind: "receipt", room_id: event.room_id, event_id: Object.keys(event.content)[0] });
    }
});

const intentOf = (nick) => appservice.getIntentForUserId(names.user(nick));
const clientOf = (nick) => intentOf(nick).underlyingClient;

serve({
    async start() {
        await appservice.begin();
        return { bot: appservice.botUserId };
    },
    ping: () => ask("POST", `/_matrix/client/v1/appservice/${registration.id}/ping`, {}),
    asked: () => asked,
    room_of: ({ channel }) => appservice.botClient.resolveRoom(names.alias(channel)),
    line: (wanted) => network.line(wanted),
    say: ({ nick, room_id: roomId, text }) => intentOf(nick).sendText(roomId, text),
    async say_picture({ nick, room_id: roomId, png }) {
        await intentOf(nick).ensureRegisteredAndJoined(roomId);
        const url = await clientOf(nick).uploadContent(Buffer.from(png, "base64"), "image/png", "a.png");
        const content = { msgtype: "m.image", body: "a.png", url };
        return { url, event_id: await intentOf(nick).sendEvent(roomId, content) };
    },
    async rename({ nick, name, png }) {
        await intentOf(nick).ensureRegistered();
        const url = await clientOf(nick).uploadContent(Buffer.from(png, "base64"), "image/png", "b.png");
        await clientOf(nick).setDisplayName(name);
        await clientOf(nick).setAvatarUrl(url);
        return { url };
    },
    async topic({ channel, topic }) {
        const roomId = await appservice.botClient.resolveRoom(names.alias(channel));
        await appservice.botClient.sendStateEvent(roomId, "m.room.topic", "", { topic });
    },
    async type({ nick, room_id: roomId }) {
        await clientOf(nick).setTyping(roomId, true);
    },
    async read({ nick, room_id: roomId, event_id: eventId }) {
        await clientOf(nick).sendReadReceipt(roomId, eventId);
    },
    async leave({ nick, room_id: roomId }) {
        await intentOf(nick).leaveRoom(roomId);
    },
    async list({ channel }) {
        const roomId = await appservice.botClient.resolveRoom(names.alias(channel));
        await appservice.setRoomDirectoryVisibility("testnet", roomId, "public");
    },
    /** Makes the ghost's device and publishes its keys. */
    async encrypt({ nick }) {
        await intentOf(nick).enableEncryption();
        return { device_id: clientOf(nick).crypto.clientDeviceId };
    },
});
