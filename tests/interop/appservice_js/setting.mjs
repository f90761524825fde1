// What a program is told when it starts: the homeserver's address and a directory with registration.yaml and
// setting.json ({domain, port, prefix, people, channels, ...}).

import { Console } from "node:console";
import { readFileSync } from "node:fs";
import { join } from "node:path";

// stdout is ours alone; what the libraries log goes to stderr.
globalThis.console = new Console(process.stderr, process.stderr);

export const homeserverUrl = process.argv[2];
export const directory = process.argv[3];
/** The tests write it as JSON, which is YAML too. */
export const registration = JSON.parse(readFileSync(join(directory, "registration.yaml"), "utf8"));
export const setting = JSON.parse(readFileSync(join(directory, "setting.json"), "utf8"));

/** A request by the service itself, for what its library has no method for. */
export async function ask(method, path, body) {
    const answer = await fetch(homeserverUrl + path, {
        method,
        headers: { Authorization: `Bearer ${registration.as_token}`, "Content-Type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
    });
    const json = await answer.json();
    if (!answer.ok) {
        throw Object.assign(new Error(JSON.stringify(json)), { errcode: json.errcode, httpStatus: answer.status });
    }
    return json;
}
