// matrix-bot-sdk encrypts with the Rust crypto's bindings for Node.js, whose library comes from GitHub when it is
// installed. Where that was not reached, this gives it the same Rust crypto's bindings for WebAssembly, which npm has
// itself. The two differ in small things, which are put right here; the store is then in memory.
//
// To be loaded before the libraries: node --require crypto.cjs

const Module = require("node:module");

const NATIVE = "@matrix-org/matrix-sdk-crypto-nodejs";

function adapted(wasm) {
    const copies = (users) => users.map((user) => new wasm.UserId(user.toString()));

    class OlmMachine {
        // Nothing is stored: WebAssembly keeps things in IndexedDB only.
        static async initialize(userId, deviceId) {
            const made = new OlmMachine();
            made.machine = await wasm.OlmMachine.initialize(userId, deviceId);
            return made;
        }

        get identityKeys() {
            return this.machine.identityKeys;
        }

        async receiveSyncChanges(events, deviceLists, counts, unusedFallback) {
            const changes = await this.machine.receiveSyncChanges(
                events,
                deviceLists,
                new Map(Object.entries(counts)),
                new Set(unusedFallback),
                settings(),
            );
            return JSON.stringify(changes.map((each) => JSON.parse(each.rawEvent)));
        }

        async outgoingRequests() {
            return (await this.machine.outgoingRequests()).map(request);
        }

        markRequestAsSent(id, type, response) {
            return this.machine.markRequestAsSent(id, type, response);
        }

        updateTrackedUsers(users) {
            return this.machine.updateTrackedUsers(copies(users));
        }

        async getMissingSessions(users) {
            const claim = await this.machine.getMissingSessions(copies(users));
            return claim ? request(claim) : null;
        }

        async shareRoomKey(room, users, how) {
            return (await this.machine.shareRoomKey(room, copies(users), how)).map(request);
        }

        encryptRoomEvent(room, type, content) {
            return this.machine.encryptRoomEvent(room, type, content);
        }

        decryptRoomEvent(event, room) {
            return this.machine.decryptRoomEvent(event, room, settings());
        }
    }

    // Whether a device was verified by anybody is no matter to a bridge.
    const settings = () => new wasm.DecryptionSettings(wasm.TrustRequirement.Untrusted);

    // Of a message to devices the event type and the transaction id stand in the body too.
    function request({ id, type, body, event_type: eventType, txn_id: txnId }) {
        if (eventType === undefined) {
            return { id, type, body };
        }
        const whole = { ...JSON.parse(body), event_type: eventType, txn_id: txnId };
        return { id, type, body: JSON.stringify(whole), eventType, txnId };
    }

    return { ...wasm, OlmMachine, StoreType: { Sled: 0, Sqlite: 1 } };
}

let crypto;
const load = Module._load;
Module._load = function (name, ...rest) {
    if (name !== NATIVE) {
        return load.call(this, name, ...rest);
    }
    if (crypto === undefined) {
        try {
            crypto = load.call(this, name, ...rest);
        } catch {
            crypto = adapted(require("@matrix-org/matrix-sdk-crypto-wasm"));
        }
    }
    return crypto;
};
