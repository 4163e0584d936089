"""All cases written with paho-mqtt, against the broker on 127.0.0.1: `run.py --port PORT [--only PART] [--skip NAME]`."""

import every_version
import harness
import version_5

if __name__ == "__main__":
    harness.run([*every_version.cases(), *version_5.cases()])
