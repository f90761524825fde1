// Drives matrix-js-sdk, with its Rust cryptography, by lines of JSON: see protocol.mjs. Arguments: the server's address.

import { Console } from "node:console";

import "./node20.mjs";

// stdout is ours alone; the SDK's log goes to stderr. It takes hold of the console when it is imported.
globalThis.console = new Console(process.stderr, process.stderr);
const { Preset } = await import("matrix-js-sdk");
const { serve } = await import("./protocol.mjs");
const { Session, register } = await import("./session.mjs");
const { verification } = await import("./verification.mjs");
const { backup } = await import("./backup.mjs");
const { files } = await import("./files.mjs");
const { rooms } = await import("./rooms.mjs");

const session = new Session(process.argv[2]);

const account = {
    register: (_, { user, password }) => register(session.baseUrl, user, password),
    login: (_, { user, password }) => session.login(user, password),
    start: (_, options) => session.start(options),
    version: () => ({ crypto: session.crypto?.getVersion() }),
    create_room: (_, { invite, encrypted }) =>
        session.client.createRoom({
            preset: Preset.PrivateChat,
            invite,
            initial_state: encrypted
                ? [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }]
                : [],
        }),
    /** Any method of the SDK's MatrixClient. */
    call: (_, { name, args }) => session.client[name](...args),
    /** The same, where the server may ask for the password: it gets the `auth` as its last argument. */
    call_with_password: (_, { name, args }) => session.withPassword((auth) => session.client[name](...args, auth ?? undefined)),
};

const methods = { ...account, ...rooms, ...verification, ...backup, ...files };
serve(Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, (args) => method(session, args)])));
