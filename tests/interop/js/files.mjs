// Encrypted attachments, by the chapter "Sending encrypted attachments" of the client-server API, and plain media.

import { createHash, webcrypto } from "node:crypto";

const AES = { name: "AES-CTR", length: 64 };

const unpadded = (bytes) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");
const hash = (bytes) => unpadded(createHash("sha256").update(bytes).digest());

export const files = {
    async upload(session, { base64, type, name }) {
        return await session.client.uploadContent(Buffer.from(base64, "base64"), { type, name, includeFilename: true });
    },

    /** The bytes behind an mxc: address, or behind its thumbnail. */
    async download(session, { url, width, height, cut }) {
        const { type, bytes } = await fetched(session, url, width, height, cut);
        return { type, base64: bytes.toString("base64") };
    },

    async send_file(session, { room_id, base64, name }) {
        const { sealed, file } = await encrypt(Buffer.from(base64, "base64"));
        const { content_uri: url } = await session.client.uploadContent(sealed, { type: "application/octet-stream" });
        const content = { msgtype: "m.file", body: name, filename: name, file: { ...file, url } };
        return await session.client.sendMessage(room_id, content);
    },

    /** The decrypted bytes of an encrypted file. */
    async fetch_file(session, { file }) {
        const { bytes } = await fetched(session, file.url);
        if (hash(bytes) !== file.hashes.sha256) {
            throw new Error("the hash of the encrypted file is wrong");
        }
        const key = await webcrypto.subtle.importKey("jwk", file.key, AES, false, ["decrypt"]);
        const counter = Buffer.from(file.iv, "base64");
        const open = await webcrypto.subtle.decrypt({ ...AES, counter }, key, bytes);
        return { base64: Buffer.from(open).toString("base64") };
    },
};

async function encrypt(bytes) {
    const counter = new Uint8Array(16);
    webcrypto.getRandomValues(counter.subarray(0, 8));
    const key = await webcrypto.subtle.generateKey({ name: "AES-CTR", length: 256 }, true, ["encrypt", "decrypt"]);
    const sealed = Buffer.from(await webcrypto.subtle.encrypt({ ...AES, counter }, key, bytes));
    const jwk = await webcrypto.subtle.exportKey("jwk", key);
    return { sealed, file: { v: "v2", key: jwk, iv: unpadded(counter), hashes: { sha256: hash(sealed) } } };
}

async function fetched(session, mxc, width, height, cut) {
    const url = session.client.mxcUrlToHttp(mxc, width, height, cut, false, true, true);
    const headers = { Authorization: `Bearer ${session.client.getAccessToken()}` };
    const answer = await fetch(url, { headers });
    if (!answer.ok) {
        throw new Error(`${answer.status} ${await answer.text()}`);
    }
    return { type: answer.headers.get("content-type"), bytes: Buffer.from(await answer.arrayBuffer()) };
}
