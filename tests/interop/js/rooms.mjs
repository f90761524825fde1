// Talking in rooms, and what the sync showed of them.

import { EventTimeline } from "matrix-js-sdk";

export const rooms = {
    async join(session, { room_id }) {
        await session.client.joinRoom(room_id);
        await session.until(
            () => session.client.getRoom(room_id)?.getMyMembership() === "join",
            `the join of ${room_id} in the sync`,
        );
    },

    /** Waits until the sync brought that this user is a joined member. */
    async await_member(session, { room_id, user_id }) {
        const room = await session.room(room_id);
        await session.until(() => room.getMember(user_id)?.membership === "join", `${user_id} in ${room_id}`);
    },

    /** Waits for the devices of a user to be known, as they are after a /keys/query. */
    async await_device(session, { user_id, device_id }) {
        const find = async () => (await session.crypto.getUserDeviceInfo([user_id], true)).get(user_id)?.get(device_id);
        const device = await find();
        return { known: device !== undefined, fingerprint: device?.getFingerprint() };
    },

    async send(session, { room_id, content, type = "m.room.message" }) {
        await session.room(room_id);
        return await session.client.sendEvent(room_id, type, content);
    },

    /** The event once it is there, and readable. */
    async await_event(session, { room_id, event_id }) {
        const room = await session.room(room_id);
        return seen(await session.until(() => readable(room.findEventById(event_id)), `${event_id}, readable`));
    },

    /** Waits until the event shows this text, its own or that of the newest edit. */
    async await_text(session, { room_id, event_id, body }) {
        const room = await session.room(room_id);
        const shows = (event) => event && event.getContent().body === body && event;
        return seen(await session.until(() => shows(room.findEventById(event_id)), `the text ${body}`));
    },

    /** Waits until this user's reaction is counted under the event. */
    async await_reaction(session, { room_id, event_id, key }) {
        const room = await session.room(room_id);
        const counted = () =>
            room.relations
                .getChildEventsForEvent(event_id, "m.annotation", "m.reaction")
                ?.getSortedAnnotationsByKey()
                ?.find(([name, events]) => name === key && events.size > 0);
        const [, events] = await session.until(counted, `the reaction ${key}`);
        return [...events].map((event) => event.getSender());
    },

    async await_redaction(session, { room_id, event_id }) {
        const room = await session.room(room_id);
        const redacted = () => room.findEventById(event_id)?.isRedacted() && room.findEventById(event_id);
        return seen(await session.until(redacted, `the redaction of ${event_id}`));
    },

    /** Pages back to the beginning of the room: how many events, and whether all could be read. */
    async history(session, { room_id, limit }) {
        const room = await session.room(room_id);
        const timeline = room.getLiveTimeline();
        let pages = 0;
        while (timeline.getPaginationToken(EventTimeline.BACKWARDS)) {
            await session.client.scrollback(room, limit);
            pages += 1;
        }
        const events = timeline.getEvents();
        await Promise.all(events.map((event) => event.getDecryptionPromise()));
        return { pages, events: events.map(seen) };
    },

    /** Goes to an event that the sync did not bring, as a link to it does: the ids around it, and a page more on each side. */
    async around(session, { room_id, event_id, limit }) {
        const set = (await session.room(room_id)).getUnfilteredTimelineSet();
        const timeline = await session.client.getEventTimeline(set, event_id);
        for (const backwards of [true, false]) {
            await session.client.paginateEventTimeline(timeline, { backwards, limit });
        }
        return timeline.getEvents().map((event) => event.getId());
    },

    async threads(session, { room_id }) {
        const room = await session.room(room_id);
        await room.createThreadsTimelineSets();
        await room.fetchRoomThreads();
        return room.getThreads().map((thread) => ({ id: thread.id, length: thread.length }));
    },

    /** Waits for a value that the SDK keeps of a room, by the path of its members' and methods' names. */
    async await_room(session, { room_id, path, value }) {
        const room = await session.room(room_id);
        await session.until(() => same(read(room, path), value), `${path.join(".")} to be ${JSON.stringify(value)}`);
    },

    /** Says that the user has read up to this event. */
    async read(session, { room_id, event_id }) {
        const room = await session.room(room_id);
        await session.client.sendReadReceipt(await session.until(() => room.findEventById(event_id), event_id));
    },

    async await_presence(session, { user_id, presence, status }) {
        const there = () => {
            const user = session.client.getUser(user_id);
            return user?.presence === presence && user.presenceStatusMsg === status;
        };
        await session.until(there, `${user_id} ${presence}, ${status}`);
    },

    async await_account_data(session, { type, content }) {
        const find = () => session.client.getAccountData(type)?.getContent();
        await session.until(() => same(find(), content), `account data ${type}`);
    },
};

/** Follows names from an object: a method is called with the list that comes after its name. */
function read(from, path) {
    let value = from;
    for (let at = 0; at < path.length; at += 1) {
        const member = value?.[path[at]];
        value = typeof member === "function" ? member.apply(value, path[(at += 1)]) : member;
    }
    return value;
}

function same(one, other) {
    return JSON.stringify(one) === JSON.stringify(other);
}

function readable(event) {
    return event && !event.isBeingDecrypted() && !event.isDecryptionFailure() && event.getType() !== "m.room.encrypted" && event;
}

function seen(event) {
    return {
        event_id: event.getId(),
        sender: event.getSender(),
        type: event.getType(),
        content: event.getContent(),
        encrypted: event.isEncrypted(),
        failed: event.isDecryptionFailure(),
        redacted: event.isRedacted(),
    };
}
