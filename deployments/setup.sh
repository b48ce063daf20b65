#!/bin/sh
# Everything on a Prefect server that answers at PREFECT_API_URL: work pools, their limits, automations, deployments.
# Repeat it after a change; it changes what differs. Run it from the directory in which runs shall work.
#   POOL_TYPE     process (default), docker or kubernetes: where the GPU pools run; `cpu` is a process or kubernetes pool
#   WEBHOOK_URL   where failed runs are announced; none: nowhere
set -eu
here=$(dirname "$0")
type=${POOL_TYPE:-process}
prefect() { "${PYTHON:-python}" -m prefect --no-prompt "$@"; }

pool() { # NAME TYPE TEMPLATE RUNS-AT-ONCE
    prefect work-pool create "$1" --type "$2" --base-job-template "$here/pools/$3.json" --overwrite
    prefect work-pool set-concurrency-limit "$1" "$4"
}
automation() { # NAME FILE; one that is there is updated, for a new one would not know of runs that died before it
    id=$(prefect automation inspect "$1" --json 2>/dev/null | sed -n 's/^ *"id": "\([^"]*\)".*/\1/p' | head -n 1)
    if [ -n "$id" ]; then
        prefect automation update --id "$id" --from-file "$2"
    else
        prefect automation create --from-file "$2"
    fi
}

case $type in
process) cpu=process gpu=process ;;
docker) cpu=process gpu=docker-gpu ;;
kubernetes) cpu=kubernetes gpu=kubernetes ;;
*) echo "POOL_TYPE is $type: set it to process, docker or kubernetes" >&2; exit 2 ;;
esac
pool cpu "$cpu" "$cpu" 2
pool gpu-generate "$type" "$gpu" 1
pool gpu-train "$type" "$gpu" 1

automation crash-zombies "$here/automations/crash-zombies.yaml"
if [ -n "${WEBHOOK_URL:-}" ]; then
    block=$("${PYTHON:-python}" -c 'import os
from prefect.blocks.webhook import Webhook
print(Webhook(url=os.environ["WEBHOOK_URL"]).save("run-failed", overwrite=True))')
    filled=$(mktemp -d)
    trap 'rm -rf "$filled"' EXIT
    sed "s/RUN_FAILED_BLOCK/$block/" "$here/automations/notify-failure.yaml" >"$filled/notify-failure.yaml"
    automation notify-failure "$filled/notify-failure.yaml"
fi

prefect deploy --all --prefect-file "$here/prefect.yaml"
