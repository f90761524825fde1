// Cross-signing, secret storage and the key backup: made on one device, found again on another by the recovery key.

import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";

export const backup = {
    /** Makes all three, as a first device does, and gives the recovery key. */
    async set_up_recovery(session) {
        session.recoveryKey = await session.crypto.createRecoveryKeyFromPassphrase();
        await session.crypto.bootstrapCrossSigning({
            authUploadDeviceSigningKeys: (request) => session.withPassword(request),
        });
        await session.crypto.bootstrapSecretStorage({
            createSecretStorageKey: async () => session.recoveryKey,
            setupNewSecretStorage: true,
            setupNewKeyBackup: true,
        });
        await session.crypto.checkKeyBackupAndEnable();
        return { recovery_key: session.recoveryKey.encodedPrivateKey };
    },

    /** Waits until the server has every room key of this device. */
    async await_backup(session) {
        await session.until(() => session.backupRemaining === 0, "the key backup to be complete");
        return await session.crypto.getKeyBackupInfo();
    },

    /** What a new device does with the recovery key: fetch the secrets, sign itself, restore the room keys. */
    async recover(session, { recovery_key }) {
        session.recoveryKey = { privateKey: decodeRecoveryKey(recovery_key) };
        // The public keys first: the private ones are checked against them.
        await session.crypto.userHasCrossSigningKeys(session.client.getUserId(), true);
        await session.crypto.bootstrapCrossSigning({});
        await session.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        const { imported, total } = await session.crypto.restoreKeyBackup();
        return { imported, total, cross_signing_ready: await session.crypto.isCrossSigningReady() };
    },
};
