// One signed-in client of matrix-js-sdk, and waiting for what its sync brings.

import {
    ClientEvent,
    createClient,
    HttpApiEvent,
    MatrixEventEvent,
    RoomEvent,
    RoomMemberEvent,
    RoomStateEvent,
    UserEvent,
} from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

const PATIENCE_MS = 30_000;

/** Whatever may change the answer to a question that somebody waits for. */
const MOVES = [
    ClientEvent.Sync,
    ClientEvent.Room,
    ClientEvent.Event,
    ClientEvent.AccountData,
    ClientEvent.ToDeviceEvent,
    CryptoEvent.DevicesUpdated,
    CryptoEvent.KeyBackupSessionsRemaining,
    CryptoEvent.KeyBackupStatus,
    CryptoEvent.VerificationRequestReceived,
    HttpApiEvent.SessionLoggedOut,
    MatrixEventEvent.Decrypted,
    MatrixEventEvent.Replaced,
    RoomEvent.Timeline,
    RoomEvent.Receipt,
    RoomEvent.Redaction,
    RoomEvent.Tags,
    RoomMemberEvent.Typing,
    RoomStateEvent.Events,
    UserEvent.Presence,
];

export class Session {
    constructor(baseUrl) {
        this.baseUrl = baseUrl;
        this.client = createClient({ baseUrl });
        this.looks = new Set();
        this.backupRemaining = null;
        this.requests = [];
        this.verifications = new Map();
        this.finished = new Map();
        this.recoveryKey = null;
    }

    /** The user signed in with this password, on a new device. */
    async login(user, password) {
        const { user_id: userId, device_id: deviceId, access_token: accessToken } = await this.client.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user },
            password,
        });
        this.password = password;
        this.client = createClient({
            baseUrl: this.baseUrl,
            userId,
            deviceId,
            accessToken,
            timelineSupport: true,
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], this.recoveryKey.privateKey],
            },
        });
        return { user_id: userId, device_id: deviceId };
    }

    /** Starts to sync, with encryption if wished, until the first answer is there. */
    async start({ encryption = true, ...options } = {}) {
        if (encryption) {
            await this.client.initRustCrypto({ useIndexedDB: false });
        }
        this.client.on(CryptoEvent.KeyBackupSessionsRemaining, (remaining) => (this.backupRemaining = remaining));
        this.client.on(CryptoEvent.VerificationRequestReceived, (request) => this.requests.push(request));
        for (const name of MOVES) {
            this.client.on(name, () => this.moved());
        }
        await this.client.startClient({ initialSyncLimit: 20, threadSupport: true, ...options });
        await this.until(() => this.client.isInitialSyncComplete(), "the first sync");
    }

    get crypto() {
        return this.client.getCrypto();
    }

    moved() {
        for (const look of this.looks) {
            look();
        }
    }

    /** The first value of `find` that is neither false nor undefined nor null; asked again whenever something came. */
    until(find, what) {
        return new Promise((resolve, reject) => {
            const look = () => {
                const found = find();
                if (found) {
                    clearTimeout(timer);
                    this.looks.delete(look);
                    resolve(found);
                }
            };
            const timer = setTimeout(() => {
                this.looks.delete(look);
                reject(new Error(`waited in vain for ${what}`));
            }, PATIENCE_MS);
            this.looks.add(look);
            look();
        });
    }

    /** The room, once the sync brought it. */
    room(roomId) {
        return this.until(() => this.client.getRoom(roomId), `room ${roomId}`);
    }

    /** User-interactive authentication by password: first without, then with what the server asks for. */
    async withPassword(request) {
        try {
            return await request(null);
        } catch (error) {
            if (error.httpStatus !== 401 || !error.data?.session) {
                throw error;
            }
            return await request({
                type: "m.login.password",
                identifier: { type: "m.id.user", user: this.client.getUserId() },
                password: this.password,
                session: error.data.session,
            });
        }
    }
}

/** A new account; signed in nowhere. */
export async function register(baseUrl, username, password) {
    const client = createClient({ baseUrl });
    const wish = { username, password, inhibit_login: true };
    try {
        return await client.registerRequest(wish);
    } catch (error) {
        if (error.httpStatus !== 401) {
            throw error;
        }
        return await client.registerRequest({ ...wish, auth: { type: "m.login.dummy", session: error.data.session } });
    }
}
