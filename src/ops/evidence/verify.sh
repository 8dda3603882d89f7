#!/bin/sh
# Verifies this bundle of evidence: sh verify.sh /path/to/authority.pub
# Needs sh, jq, sha256sum, od and ssh-keygen. VERIFY.md says what each step shows. Exit status 0 only if all of it verifies.
set -u
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ ! -r "$1" ]; then
  echo "usage: sh verify.sh /path/to/authority.pub   (a key that did not come with this directory)" >&2
  exit 2
fi
key=$(grep -v '^#' "$1" | grep '^ssh-ed25519 ' | head -n 1 | cut -d' ' -f1,2)
[ -n "$key" ] || { echo "$1 has no line that begins with ssh-ed25519" >&2; exit 2; }
cd "$(dirname "$0")" || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  echo "FAIL $1"
  failures=$((failures + 1))
}

hex() {
  od -An -v -tx1 "$1" | tr -d ' \n'
}

# bytes HEX: what the digits stand for. printf knows octal numbers everywhere.
bytes() {
  digits=$1
  while [ -n "$digits" ]; do
    others=${digits#??}
    printf "\\$(printf '%03o' "0x${digits%"$others"}")"
    digits=$others
  done
}

# verify NAME PRINCIPAL NAMESPACE [TIME]: the signature of a file, at a time as in 20260131020000Z.
verify() {
  [ -f "$1.sig" ] || return 1
  if [ -n "${4:-}" ]; then
    ssh-keygen -Y verify -f "$work/signers" -I "$2" -n "$3" -O verify-time="$4" -s "$1.sig" <"$1" >/dev/null 2>&1
  else
    ssh-keygen -Y verify -f "$work/signers" -I "$2" -n "$3" -s "$1.sig" <"$1" >/dev/null 2>&1
  fi
}

# stamp TIME: a time of RFC 3339 in UTC as ssh-keygen takes it.
stamp() {
  echo "$1" | sed 's/\..*//; s/[-:T]//g; s/Z*$/Z/'
}

# received NAME: when the store received what a file holds, as the exporter says; empty if it does not.
received() {
  told=$(sed -n "s|^$1 ||p" received.txt 2>/dev/null)
  [ -z "$told" ] || stamp "$told"
}

# 1. Every file is there and unchanged, and nothing was added.
sha256sum --check --strict --quiet SHA256SUMS >/dev/null 2>&1 || fail "SHA256SUMS: a file is missing or changed"
cut -c67- SHA256SUMS | sort >"$work/listed"
find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.sig | sed 's|^\./||' | sort >"$work/present"
[ -z "$(find . ! -type d ! -type f)" ] || fail "a link or something else that is no file is here"
cmp -s "$work/listed" "$work/present" || fail "SHA256SUMS: it does not list exactly the files that are here"

# 2. The authority signed who may sign; from that, the signers are made again.
echo "authority $key" >"$work/signers"
: >"$work/identities"
repository= before=
for file in identities/*; do
  case $file in *.sig) continue ;; esac
  number=${file#identities/}
  count=$(echo "$number" | sed 's/^0*//')
  [ -z "$before" ] || [ "$count" = $((before + 1)) ] \
    || echo "NOTE $file: no statement of the authority is here before it from number $((before + 1)) on: it may be a revocation"
  before=$count
  if ! verify "$file" authority sbf-repo-identity; then
    fail "$file: the authority did not sign it"
    continue
  fi
  text=$(hex "$file")
  [ -n "$repository" ] || repository=$(echo "$text" | cut -c1-32)
  place=$(printf 'ids/%s' "$number" | od -An -v -tx1 | tr -d ' \n')
  head="${repository}0c00${place}"
  case $text in
    "$head"*) echo "${text#"$head"}" >>"$work/identities" ;;
    *) fail "$file: it is of another repository or place" ;;
  esac
done
# A record is a kind, then for certificates: subject, key, role, times; for revocations: name of the key, time, reason.
# Numbers are zigzag: a byte, or fb, fc, fd and 2, 4, 8 bytes, the lowest first.
while read -r text; do
  case $text in
    00*)
      rest=${text#00}
      case $rest in
        00*) rest=${rest#00}; principal=$(echo "$rest" | cut -c1-32); rest=$(echo "$rest" | cut -c33-) ;;
        01*) rest=${rest#01}; principal=maintenance ;;
      esac
      public=$(echo "$rest" | cut -c1-64)
      rest=$(echo "$rest" | cut -c65-)
      name=$(bytes "$public" | sha256sum | cut -c1-32)
      echo "certificate $principal $public $name $rest"
      ;;
    01*) echo "revocation $(echo "$text" | cut -c3-34) $(echo "$text" | cut -c35-)" ;;
  esac
done <"$work/identities" >"$work/records"
jq -nRr '
  def byte($at): .[$at * 2:$at * 2 + 2] | ascii_downcase | explode
    | map(if . > 90 then . - 87 else . - 48 end) | .[0] * 16 + .[1];
  # A number at the front: [value, what follows].
  def number:
    . as $hex | ($hex | byte(0)) as $first
    | (if $first < 251 then [$first, 1] else
        ({"251": 2, "252": 4, "253": 8}[$first | tostring]) as $count
        | [reduce range($count; 0; -1) as $at (0; . * 256 + ($hex | byte($at))), $count + 1] end)
    | (if .[0] % 2 == 0 then .[0] / 2 else -(.[0] + 1) / 2 end) as $value
    | [$value, $hex[.[1] * 2:]];
  def stamp: todate | gsub("[-:T]"; "");
  def base64_of_hex: [range(0; length; 6) as $at | .[$at:$at + 6]]
    | map(. as $part | ([range(0; $part | length; 2) as $at | ($part[$at:] | byte(0))]) as $bytes
        | ($bytes[0] * 65536 + ($bytes[1] // 0) * 256 + ($bytes[2] // 0)) as $all
        | [$all / 262144, $all / 4096, $all / 64, $all] | map(floor % 64)
        | map("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[.:. + 1])
        | .[0:($bytes | length) + 1] | join("") + "=" * (3 - ($bytes | length)))
    | join("");
  [inputs | split(" ")] as $rows
  | (reduce ($rows[] | select(.[0] == "revocation")) as $row ({};
      ($row[2] | number[0]) as $from | .[$row[1]] |= ([., $from] | map(select(. != null)) | min))) as $revoked
  | $rows[] | select(.[0] == "certificate")
  | .[1] as $principal | .[2] as $public | .[3] as $name
  | (.[4] | {"00": "admin", "01": "writer", "02": "reader", "03": "pruner", "04": "auditor"}[.[0:2]]) as $role
  | (.[4][2:] | number) as [$from, $rest]
  | (if $rest[0:2] == "01" then ($rest[2:] | number[0]) else null end) as $until
  | ([$until, ($revoked[$name] | if . == null then null else . - 1 end)] | map(select(. != null)) | min) as $before
  | (if $principal == "maintenance" then "sbf-repo-gc-base,sbf-repo-forget,sbf-repo-inventory"
     else "sbf-repo-manifest,sbf-repo-outcome,sbf-repo-record,sbf-repo-audit,sbf-repo-evidence" end) as $namespaces
  | "\($principal) namespaces=\"\($namespaces)\",valid-after=\"\($from | stamp)\""
    + (if $before == null then "" else ",valid-before=\"\($before | stamp)\"" end)
    + " ssh-ed25519 \("0000000b7373682d6564323535313900000020" + $public | base64_of_hex) \($role)"
' "$work/records" >"$work/certified"
cmp -s "$work/certified" allowed_signers || fail "allowed_signers: the certificates say otherwise"
cp "$work/certified" "$work/signers"

# role_of NAME PRINCIPAL NAMESPACE [TIME]: the role in the certificate of the key that signed a file.
role_of() {
  print=$(ssh-keygen -Y verify -f "$work/signers" -I "$2" -n "$3" ${4:+-O "verify-time=$4"} -s "$1.sig" <"$1" 2>/dev/null \
    | sed -n 's/.* key \(SHA256:[^ ]*\).*/\1/p')
  role=$(grep "^$2 " "$work/signers" | while read -r _ _ type public role; do
    case $(echo "$type $public" | ssh-keygen -l -f - 2>/dev/null) in *" $print "*) echo "$role" ;; esac
  done | head -n 1)
}

# 3. The sums are signed by who exported this.
exporter=$(jq -r .exporter bundle.json)
created=$(stamp "$(jq -r .created bundle.json)")
if verify SHA256SUMS "$exporter" sbf-repo-evidence "$created"; then
  role_of SHA256SUMS "$exporter" sbf-repo-evidence "$created"
  echo "exported by client $exporter, $role, key $print"
else
  fail "SHA256SUMS: the exporter did not sign it"
fi
jq -r '.left_out[] | "NOTE bundle.json: the exporter left out: \(.object): \(.effect)"' bundle.json || fail "bundle.json: it does not say what was left out"

# 4 and 5. Each manifest is signed, and a commit or a verdict accepted it.
for file in bases/*; do
  case $file in *.sig | 'bases/*') continue ;; esac
  if verify "$file" maintenance sbf-repo-gc-base "$(received "$file")"; then hex "$file" >>"$work/accepted"; else fail "$file: not signed by maintenance"; fi
done
manifests=0
: >"$work/rows"
for file in manifests/*.json; do
  [ -f "$file" ] || continue
  id=$(basename "$file" .json)
  fields=$(jq -r '(.predicate.statement // .predicate) as $stated
    | [.predicateType, $stated.repository, $stated.snapshot, $stated.client, $stated.times.finished,
       .predicate.exporter // "-", .predicate.original // "-"] | join(" ")' "$file" 2>/dev/null)
  set -- $fields
  if [ $# -ne 7 ] || [ "$2" != "$repository" ] || [ "$3" != "$id" ]; then
    fail "$file: it is of another repository or snapshot"
    continue
  fi
  finished=$(stamp "$5")
  case $1 in
    */snapshot/v1) digest=$(sha256sum <"$file" | cut -c1-64); verify "$file" "$4" sbf-repo-manifest "$finished" ;;
    */snapshot-redacted/v1) digest=$7; [ "$6" = "$exporter" ] && verify "$file" "$6" sbf-repo-evidence "$created" ;;
    *) false ;;
  esac || { fail "$file: its signature does not count"; continue; }
  found=no
  if [ -f "commits/$id" ]; then
    if verify "commits/$id" "$4" sbf-repo-outcome "$finished"; then
      case $(hex "commits/$id") in "$repository"*"$digest"*) found=yes ;; esac
    else
      fail "commits/$id: the client did not sign it"
    fi
  elif [ -f "$work/accepted" ] && grep -q "$digest" "$work/accepted"; then
    found=yes
  fi
  if [ $found = yes ]; then
    manifests=$((manifests + 1))
    jq -c --arg digest "$digest" '(.predicate.statement // .predicate) | {
      before: [.snapshot, .client, .source, .times.data, .times.started, .times.finished],
      after: [.totals.files, .totals.bytes, .incomplete, $digest]}' "$file" >>"$work/rows"
  else
    fail "$file: nothing here accepts it"
  fi
done
# The table has a row for each of them that says the same, and no other. What its store received when, and what is forgotten, the exporter states.
jq -en --rawfile table population.csv --slurpfile rows "$work/rows" '
  def cell: tostring | if test("^[=+@\t\r-]") then "\u0027" + . else . end
    | if test("[\",\n\r]") then "\"" + gsub("\""; "\"\"") + "\"" else . end;
  "snapshot,client,source,data_time,started,finished,received,state,files,bytes,incomplete,manifest_sha256\n" as $header
  | [$rows[] | ((.before | map(cell) | join(",")) + ",") as $before | ("," + (.after | map(cell) | join(","))) as $after
      | ($table | split("\n" + $before)) as $parts
      | ($parts[1] // "" | split("\n")[0] // "") as $rest
      | ($parts | length) == 2 and ($rest | endswith($after)
          and (rtrimstr($after) | test("^[0-9T:.Z-]+,(live|forgotten)$"))), ($before + $rest + "\n")] as $found
  | ([$found[] | booleans] | all) and ($table | startswith($header))
    and ($table | length) == ($header | length) + ([$found[] | strings | length] | add // 0)
' >/dev/null 2>&1 || fail "population.csv: the manifests say otherwise"

# 6. Records.
records=0
: >"$work/claims"
for file in records/*.json; do
  [ -f "$file" ] || continue
  fields=$(jq -r '[.predicate.repository, .predicate.place, .predicate.time // "-"] | join(" ")' "$file" 2>/dev/null)
  set -- $fields
  if [ $# -ne 3 ] || [ "$1" != "$repository" ] || [ "records/$(echo "$2" | tr / -).json" != "$file" ]; then
    fail "$file: it is of another repository or place"
    continue
  fi
  time=$(received "$file"); [ "$3" = - ] || time=$(stamp "$3")
  case $2 in
    records/*) verify "$file" "$(echo "$2" | cut -d/ -f3)" sbf-repo-record "$time" ;;
    forget/*) verify "$file" maintenance sbf-repo-forget "$time" ;;
    *) false ;;
  esac || { fail "$file: its signature does not count"; continue; }
  records=$((records + 1))
  case $2 in
    records/heads/*)
      by=$(echo "$2" | cut -d/ -f3)
      role_of "$file" "$by" sbf-repo-record "$time"
      jq -r --arg file "$file" --arg by "$by" --arg role "$role" \
        '.predicate.heads[] | "\($file) \($by) \($role) \(.client) \(.seq) \(.sha256)"' "$file" >>"$work/claims"
      ;;
  esac
done

# 7. The inventory.
for file in inventory/*; do
  case $file in *.sig | 'inventory/*') continue ;; esac
  verify "$file" maintenance sbf-repo-inventory "$(received "$file")" || fail "$file: not signed by maintenance"
  [ "$(sed -n 2p "$file")" = "$repository" ] || fail "$file: it is of another repository"
done

# 8. The audit logs: each record is signed by its client and names the SHA-256 of the one before, and the exporter signed their ends.
audits=0
: >"$work/seen"
if [ -f audit.jsonl ]; then
  verify checkpoint.txt "$exporter" sbf-repo-evidence "$created" || fail "checkpoint.txt: the exporter did not sign it"
  jq -r '"\(.signature)\u0000"' audit.signatures.jsonl | tr '\n\0' '~\n' | sed 's/^~//' >"$work/signatures"
  jq -r '.predicate | [.place, .seq, .prev, .time, .repository] | join(" ")' audit.jsonl >"$work/audit"
  client= seq=0 digest=
  : >"$work/heads"
  exec 3<audit.jsonl 4<"$work/signatures" 5<"$work/audit"
  while IFS= read -r line <&3; do
    IFS= read -r signature <&4 || signature=
    read -r place number prev time named <&5 || place=
    owner=$(echo "$place" | cut -d/ -f2)
    if [ "$owner" != "$client" ]; then
      [ -z "$client" ] || echo "head $client:$seq:$digest" >>"$work/heads"
      client=$owner seq=0 digest=0000000000000000000000000000000000000000000000000000000000000000
    fi
    printf '%s' "$line" >"$work/record"
    echo "$signature" | tr '~' '\n' >"$work/record.sig"
    if [ "$named" = "$repository" ] && [ "$place" = "$(printf 'audit/%s/%08d' "$client" "$number")" ] \
      && [ "$number" = $((seq + 1)) ] && [ "$prev" = "$digest" ] \
      && verify "$work/record" "$client" sbf-repo-audit "$(stamp "$time")"; then
      audits=$((audits + 1))
    else
      fail "audit.jsonl: record $number of $client does not count or does not follow the one before"
    fi
    seq=$number
    digest=$(sha256sum <"$work/record" | cut -c1-64)
    echo "$client $number $digest" >>"$work/seen"
  done
  [ -z "$client" ] || echo "head $client:$seq:$digest" >>"$work/heads"
  grep '^head ' checkpoint.txt | sort >"$work/stated"
  sort "$work/heads" | cmp -s - "$work/stated" || fail "checkpoint.txt: the logs do not end as it says"
fi

# Records state where logs ended: of its own log a client does, and an admin of all. What others say is only told.
while read -r file by role client number digest; do
  if grep -qxF "$client $number $digest" "$work/seen"; then
    continue
  elif [ "$by" = "$client" ] || [ "$role" = admin ]; then
    fail "$file: it names record $number of the log of $client, which is not here: the log was cut off or replaced"
  else
    echo "NOTE $file: $by says that the log of $client had a record $number ($digest), which is not here"
  fi
done <"$work/claims"

if [ $failures -gt 0 ]; then
  echo "$failures failures: this evidence does NOT verify"
  exit 1
fi
echo "all of it verifies: repository $repository, $manifests manifests, $records records, $audits audit records"
