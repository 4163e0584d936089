// All cases written with mqtt.js, against the broker on 127.0.0.1: `run.mjs --port PORT [--only PART] [--skip NAME]`.

import * as everyVersion from './every_version.mjs'
import { run } from './harness.mjs'
import * as version5 from './version_5.mjs'

await run([...everyVersion.cases(), ...version5.cases()])
