// Verification of another device by short authentication strings, as an application does it: ask, accept, compare, confirm.

import { VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

export const verification = {
    async request_verification(session, { user_id, device_id }) {
        return known(session, await session.crypto.requestDeviceVerification(user_id, device_id));
    },

    /** Accepts the request that another device sent. */
    async accept_verification(session, { user_id }) {
        const request = await session.until(
            () => session.requests.find((one) => one.otherUserId === user_id && one.phase === VerificationPhase.Requested),
            `a verification request of ${user_id}`,
        );
        await request.accept();
        return known(session, request);
    },

    /** Sends the start message, once the other side is ready. */
    async start_sas(session, { transaction_id }) {
        const request = session.verifications.get(transaction_id);
        await session.until(() => request.phase === VerificationPhase.Ready, "the other side to be ready");
        begin(session, request, await request.startVerification("m.sas.v1"));
    },

    /** Accepts the start message of the other side. */
    async accept_sas(session, { transaction_id }) {
        const request = session.verifications.get(transaction_id);
        begin(session, request, await session.until(() => request.verifier, "the other side to start"));
    },

    async short_auth_string(session, { transaction_id }) {
        const { sas } = await shown(session, transaction_id);
        return { decimals: sas.decimal, emoji: sas.emoji.map(([symbol]) => symbol) };
    },

    /** Says that the strings are the same; ends when both sides have said so and the keys' MACs are right. */
    async confirm_sas(session, { transaction_id }) {
        const callbacks = await shown(session, transaction_id);
        await callbacks.confirm();
        const request = session.verifications.get(transaction_id);
        await session.finished.get(transaction_id);
        await session.until(() => request.phase === VerificationPhase.Done, "the end of the verification");
    },

    async trust(session, { user_id, device_id }) {
        const status = await session.crypto.getDeviceVerificationStatus(user_id, device_id);
        return { verified: status.isVerified(), cross_signed: status.crossSigningVerified };
    },
};

function known(session, request) {
    session.verifications.set(request.transactionId, request);
    request.on(VerificationRequestEvent.Change, () => session.moved());
    return { transaction_id: request.transactionId };
}

function begin(session, request, verifier) {
    verifier.on(VerifierEvent.ShowSas, () => session.moved());
    const finished = verifier.verify();
    // Awaited in confirm_sas; a cancellation before that must not end the process.
    finished.catch(() => session.moved());
    session.finished.set(request.transactionId, finished);
}

function shown(session, transactionId) {
    const request = session.verifications.get(transactionId);
    return session.until(() => request.verifier?.getShowSasCallbacks(), "the short authentication string");
}
