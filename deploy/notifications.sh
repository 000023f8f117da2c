#!/usr/bin/env bash
# Makes, or makes anew, the automations of automations.yaml: deploy/notifications.sh https://hooks.example.org/...
# The address gets a POST of {"text": "..."}, as chat servers take it, and is kept encrypted in a block.
# Talks to the Prefect server that PREFECT_API_URL names; PREFECT and PYTHON name the programs where they are elsewhere.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 ADDRESS" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
block=$(RINR_NOTIFY="$1" "$python" - <<'PY'
import os
from prefect.blocks.notifications import CustomWebhookNotificationBlock

block = CustomWebhookNotificationBlock(
    name="residual-inr", url="{{address}}", json_data={"text": "{{subject}}\n{{body}}"},
    secrets={"address": os.environ["RINR_NOTIFY"]},
)
print(block.save("residual-inr-notifications", overwrite=True, _sync=True))
PY
)
file=$(mktemp --suffix .yaml)
trap 'rm -f "$file"' EXIT
sed "s/BLOCK-ID/$block/" "$here/automations.yaml" > "$file"
"$python" - <<'PY'
from prefect import get_client

with get_client(sync_client=True) as client:  # there is no replacing by name: those of before go first
    for automation in client.request("POST", "/automations/filter", json={}).json():
        if automation["name"].startswith("residual-inr, "):
            client.request("DELETE", "/automations/{id}", path_params={"id": automation["id"]})
PY
"$python" -m prefect automation create --from-file "$file"
