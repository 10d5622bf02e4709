#!/usr/bin/env bash
# A worker as a cron job would be it: takes what is due, works, reports and goes. Needs curl and nothing else; real scripts
# would read the JSON with jq.
set -euo pipefail
: "${DSTC_HTTP_URL:?}" "${DSTC_TOKEN:?}"
type=$1

call() {
  curl --silent --show-error --fail --max-time 30 "$DSTC_HTTP_URL/dstc.v1.WorkerService/$1" \
    --header "authorization: Bearer $DSTC_TOKEN" --header 'content-type: application/json' --data "$2"
}
# The first object or text of a name, as long as it holds no object of its own.
field() {
  grep -o "\"$1\":\({[^{}]*}\|\"[^\"]*\"\)" <<<"$2" | head -n 1 | cut -d : -f 2-
}

session=
while :; do
  leased=$(call LeaseTasks "{\"taskTypes\":[\"$type\"]${session:+,\"session\":$session}}")
  session=$(field session "$leased")
  lease=$(field lease "$leased") || break # Nothing is due.
  call ExtendLeases "{\"session\":$session,\"held\":[$lease]}" >/dev/null
  word=$(field json "$leased")
  if [ "$word" = '"bad"' ]; then
    report="\"failed\":{\"items\":[{\"lease\":$lease,\"error\":{\"code\":\"BAD_WORD\",\"message\":\"not that one\",\"kind\":\"FAILURE_KIND_PERMANENT\"}}]}"
  else
    report="\"succeeded\":{\"items\":[{\"lease\":$lease,\"output\":{\"json\":$(tr '[:lower:]' '[:upper:]' <<<"$word")}}]}"
  fi
  call ReportTasks "{\"session\":$session,$report}"
  echo
done
