// A bridge with matrix-appservice-bridge, driven by lines of JSON: see ../js/protocol.mjs and setting.mjs.

import { ask, directory, homeserverUrl, registration, setting } from "./setting.mjs";
import { join } from "node:path";

import "../js/node20.mjs";

const { AppServiceRegistration, Bridge, Logger } = (await import("matrix-appservice-bridge")).default;
const { serve } = await import("../js/protocol.mjs");
const { Names } = await import("./names.mjs");
const { Network } = await import("./network.mjs");

Logger.configure({ console: "warn" });
const names = new Names(setting.prefix, setting.domain);
const network = new Network(setting.people, setting.channels);
const rooms = new Map();
const asked = [];

const bridge = new Bridge({
    homeserverUrl,
    domain: setting.domain,
    registration: AppServiceRegistration.fromObject(registration),
    userStore: join(directory, "users.db"),
    roomStore: join(directory, "rooms.db"),
    userActivityStore: join(directory, "activity.db"),
    controller: {
        onUserQuery(user) {
            asked.push(user.getId());
            const nick = names.remote(user.getId());
            return network.people.has(nick) ? { name: `${nick} (IRC)` } : null;
        },
        onAliasQuery(alias, localpart) {
            asked.push(alias);
            const channel = names.remote(alias);
            if (!network.channels.has(channel)) {
                return null;
            }
            return { creationOpts: { room_alias_name: localpart, name: `#${channel}`, preset: "public_chat" } };
        },
        async onAliasQueried(alias, roomId) {
            rooms.set(names.remote(alias), roomId);
            await bridge.getIntent().setRoomDirectoryVisibilityAppService(roomId, "testnet", "public");
        },
        onEvent: (request) => onEvent(request.getData()),
        onEphemeralEvent: (request) => onEphemeral(request.getData()),
        thirdPartyLookup: {
            protocols: ["irc"],
            getProtocol: () => network.protocol(),
            getLocation: (_, { channel }) => (network.channels.has(channel) ? [names.thirdPartyLocation(channel)] : []),
            parseLocation: (alias) => [names.thirdPartyLocation(names.remote(alias))],
            getUser: (_, { nick }) => (network.people.has(nick) ? [names.thirdPartyUser(nick)] : []),
            parseUser: (userId) => [names.thirdPartyUser(names.remote(userId))],
        },
    },
});

async function onEvent(event) {
    const nick = event.state_key && names.remote(event.state_key);
    if (event.type === "m.room.member" && event.content.membership === "invite" && nick) {
        await bridge.getIntent(event.state_key).join(event.room_id);
        network.heard({ kind: "invite", nick, sender: event.sender, room_id: event.room_id });
    } else if (event.type === "m.room.message") {
        network.heard({ kind: "message", sender: event.sender, room_id: event.room_id, body: event.content.body });
    }
}

function onEphemeral(event) {
    if (event.type === "m.typing") {
        network.heard({ kind: "typing", room_id: event.room_id, users: event.content.user_ids.join() });
    } else if (event.type === "m.receipt") {
        network.heard({ kind: "receipt", room_id: event.room_id, event_id: Object.keys(event.content)[0] });
    }
}

const intentOf = (nick) => bridge.getIntent(names.user(nick));

serve({
    async start() {
        await bridge.initialise();
        await bridge.listen(setting.port, "127.0.0.1");
        // The library has no answer to a ping of its own.
        bridge.addAppServicePath({
            method: "POST",
            path: "/_matrix/app/v1/ping",
            handler: (request, response) => response.send({}),
        });
        return { bot: bridge.getBot().getUserId() };
    },
    ping: () => ask("POST", `/_matrix/client/v1/appservice/${registration.id}/ping`, {}),
    async ping_by_event() {
        const { room_id: roomId } = await bridge.getIntent().createRoom({ createAsClient: false, options: {} });
        return { delay_ms: await bridge.pingAppserviceRoute(roomId, 20_000) };
    },
    asked: () => asked,
    room_of: ({ channel }) => rooms.get(channel),
    line: (wanted) => network.line(wanted),
    say: async ({ nick, room_id: roomId, text }) => (await intentOf(nick).sendText(roomId, text)).event_id,
    async say_picture({ nick, room_id: roomId, png }) {
        const url = await intentOf(nick).uploadContent(Buffer.from(png, "base64"), { name: "a.png", type: "image/png" });
        const content = { msgtype: "m.image", body: "a.png", url };
        return { url, event_id: (await intentOf(nick).sendMessage(roomId, content)).event_id };
    },
    async rename({ nick, name, png }) {
        const url = await intentOf(nick).uploadContent(Buffer.from(png, "base64"), { name: "b.png", type: "image/png" });
        await intentOf(nick).setDisplayName(name);
        await intentOf(nick).setAvatarUrl(url);
        return { url };
    },
    async topic({ channel, topic }) {
        await bridge.getIntent().setRoomTopic(rooms.get(channel), topic);
    },
    async type({ nick, room_id: roomId }) {
        await intentOf(nick).sendTyping(roomId, true);
    },
    async read({ nick, room_id: roomId, event_id: eventId }) {
        await intentOf(nick).sendReadReceipt(roomId, eventId);
    },
    async leave({ nick, room_id: roomId }) {
        await intentOf(nick).leave(roomId);
    },
});
