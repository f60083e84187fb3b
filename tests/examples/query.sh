#!/bin/sh
# Asks the gateway for the statuses of users, as the app's backend does. Prints its JSON. The gateway answers with HTTP 200
# also what it refuses: the outcome is ErrorCode.
set -eu

usage() {
    cat <<END
usage: query.sh [--address HOST:PORT] [--app SDKAPPID] [--holdfast PROGRAM] USER...

  --address   where the gateway listens for the backend (127.0.0.1:9002)
  --app       the SDKAppID (1400000001)
  --holdfast  the gateway's program, which makes the UserSig of the administrator (holdfast)

Exit code: 0 if ErrorCode is 0; 1 if it is another, which \`ErrorInfo\` explains; curl's if there was no answer.
END
}

address=127.0.0.1:9002 app=1400000001 holdfast=holdfast
while [ $# -gt 0 ]; do
    case $1 in
        --address) address=${2:?} && shift 2 ;;
        --app) app=${2:?} && shift 2 ;;
        --holdfast) holdfast=${2:?} && shift 2 ;;
        --help) usage && exit ;;
        --) shift && break ;;
        -*) usage >&2 && exit 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || { usage >&2 && exit 2; }

users=
for user in "$@"; do
    users="$users${users:+,}\"$(printf %s "$user" | sed 's/["\\]/\\&/g')\""
done
usersig=$("$holdfast" usersig administrator)
caller="sdkappid=$app&identifier=administrator&usersig=$usersig&random=$$&contenttype=json"
answer=$(curl --silent --show-error --fail --globoff --noproxy '*' \
    "http://$address/v4/openim/query_online_status?$caller" --data "{\"To_Account\":[$users],\"IsNeedDetail\":1}")
printf '%s\n' "$answer"
case $answer in
    *'"ActionStatus":"OK"'*) ;;
    *) exit 1 ;;
esac
