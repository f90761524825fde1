// What matrix-js-sdk takes from Node.js 22 and Debian's Node.js 20 lacks. The SDK itself is as npm has it.

Promise.withResolvers ??= function withResolvers() {
    const parts = {};
    parts.promise = new this((resolve, reject) => Object.assign(parts, { resolve, reject }));
    return parts;
};
