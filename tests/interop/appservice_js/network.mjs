// The network that the bridges reach: a chat with channels and people, in memory.

const PATIENCE_MS = 30_000;

export class Network {
    /** `people` and `channels`: who and what is there; others are not. */
    constructor(people, channels) {
        this.people = new Set(people);
        this.channels = new Set(channels);
        this.lines = [];
        this.waiting = [];
    }

    /** Somebody in Matrix said something. */
    heard(line) {
        this.lines.push(line);
        for (const look of this.waiting) {
            look();
        }
    }

    /** The first line that has all of this. */
    line(wanted) {
        return new Promise((resolve, reject) => {
            const fits = (line) => Object.entries(wanted).every(([name, value]) => line[name] === value);
            const look = () => {
                const found = this.lines.find(fits);
                if (found) {
                    clearTimeout(timer);
                    this.waiting = this.waiting.filter((each) => each !== look);
                    resolve(found);
                }
            };
            const timer = setTimeout(
                () => reject(new Error(`waited in vain for ${JSON.stringify(wanted)}; last ${this.last()}`)),
                PATIENCE_MS,
            );
            this.waiting.push(look);
            look();
        });
    }

    last() {
        return JSON.stringify(this.lines.slice(-5));
    }

    /** What a third-party look-up tells. */
    protocol() {
        return {
            user_fields: ["nick"],
            location_fields: ["channel"],
            icon: "mxc://interop.test/irc",
            field_types: { nick: { regexp: "[a-z]+", placeholder: "nick" }, channel: { regexp: "#.+", placeholder: "#x" } },
            instances: [{ network_id: "testnet", desc: "Testnet", fields: {} }],
        };
    }
}
