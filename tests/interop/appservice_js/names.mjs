// From names of the network to those of Matrix, and back.

export class Names {
    constructor(prefix, domain) {
        this.prefix = prefix;
        this.domain = domain;
    }

    user(nick) {
        return `@${this.prefix}${nick}:${this.domain}`;
    }

    alias(channel) {
        return `#${this.prefix}${channel}:${this.domain}`;
    }

    /** What a user id or an alias stands for; undefined for those of others. */
    remote(id) {
        const [localpart, domain] = [id.slice(1).split(":")[0], id.slice(id.indexOf(":") + 1)];
        return domain === this.domain && localpart.startsWith(this.prefix) ? localpart.slice(this.prefix.length) : undefined;
    }

    thirdPartyUser(nick) {
        return { userid: this.user(nick), protocol: "irc", fields: { nick } };
    }

    thirdPartyLocation(channel) {
        return { alias: this.alias(channel), protocol: "irc", fields: { channel } };
    }
}
