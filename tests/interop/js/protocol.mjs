// A line of JSON in, {id, method, args}; a line of JSON out, {id, result} or {id, error}. Requests run side by side.

import { createInterface } from "node:readline";

/** Answers the requests on stdin by the functions of `methods`, until stdin ends. */
export function serve(methods) {
    const lines = createInterface({ input: process.stdin });
    lines.on("line", (line) => void answer(methods, JSON.parse(line)));
    lines.on("close", () => process.exit(0));
}

async function answer(methods, { id, method, args }) {
    let reply;
    try {
        reply = { id, result: plain(await methods[method](args)) };
    } catch (error) {
        reply = { id, error: described(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
}

/** What JSON can say of a value: Maps as objects, class instances by their own toJSON. */
function plain(value) {
    if (value instanceof Map) {
        return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
    }
    return value ?? null;
}

function described(error) {
    return {
        message: String(error?.message ?? error),
        stack: error?.stack,
        errcode: error?.errcode,
        status: error?.httpStatus,
        data: error?.data,
    };
}
