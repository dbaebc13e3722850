#!/bin/sh
# Install the programs that tests use beside Python's: browser, speech, and servers. By root on Debian or Ubuntu; without one of them the
# tests that need it are skipped by name.
set -eu
missing=""
PATH="$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')" # where Debian keeps servers' programs
for pair in chromium:chromium espeak-ng:espeak-ng slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client munged:munge pg_ctl:postgresql strace:strace; do
  command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed:$missing; the tests that need them are skipped"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # several packages
apt-get install -y -qq --no-install-recommends $missing >/dev/null
