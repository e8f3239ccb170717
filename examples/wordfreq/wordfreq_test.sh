#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# Runs wordfreq as a user would. Usage: wordfreq_test.sh PROGRAM CASE
# Exit status: 0 as expected, 77 cannot be tested on this machine, else a failure.
set -euo pipefail
export LC_ALL=C

program=$(realpath "$1")
readonly program
scratch=$(mktemp -d)
readonly scratch
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
  echo "FAILED: $*" >&2
  head -n 20 out err >&2 || true
  exit 1
}

skip() {
  echo "skipped: $*"
  exit 77
}

# run STATUS ARGUMENT...: runs the program, expects its exit status, leaves its output in out, err.
run() {
  local expected=$1 status=0
  shift
  "$program" "$@" >out 2>err || status=$?
  [ "$status" = "$expected" ] || fail "wordfreq $*: exit status $status, not $expected"
}

# says FILE TEXT: the file has a line with the text.
says() { grep -qF -- "$2" "$1" || fail "no '$2' in $1"; }

silent() { [ ! -s err ] || fail "unexpected words on standard error"; }

# The lines "count word" of the last output, in the order of sort.
counted() { awk 'NF == 2 && $1 ~ /^[0-9]+$/ { print $1, $2 }' out | sort; }

by_coreutils() {
  cat "$@" | tr -cs 'A-Za-z0-9' '\n' | tr 'A-Z' 'a-z' | sed '/^$/d' | sort | uniq -c |
    awk '{ print $1, $2 }' | sort
}

# random_text BYTES SEED: ASCII text, words of 1 to 12 letters and digits, separators of any kind.
random_text() {
  awk -v bytes="$1" -v seed="$2" 'BEGIN {
    srand(seed)
    letters = "etaoinshrdlcumwfgypbvkjxqzETAOINSHRDLCUMWFGYPBVKJXQZ0123456789"
    marks = " \n\t.,;:!?()[]{}<>@#$%^&*-_=+/|`~\"\\"
    while (size < bytes) {
      word = ""
      for (n = int(rand() * rand() * 12) + 1; n > 0; --n)
        word = word substr(letters, int(rand() * rand() * 62) + 1, 1)
      mark = substr(marks, int(rand() * rand() * length(marks)) + 1, 1)
      printf "%s%s", word, mark
      size += length(word) + 1
    }
  }'
}

# repeat BYTES LINE: the line again and again.
repeat() { { yes "$2" || true; } 2>/dev/null | head -c "$1"; }

case_ascii() {
  mkdir -p tree/deep/er
  random_text 2000000 1 >tree/big
  random_text 3000 2 >tree/deep/small
  random_text 70000 3 >tree/deep/er/middle
  by_coreutils tree/big tree/deep/small tree/deep/er/middle >expected
  for jobs in 1 2 7; do
    run 0 --jobs "$jobs" --top 10000000 --check tree
    silent
    says out "the plain loop agrees"
    says out "in 3 text files"
    counted >found
    cmp expected found || fail "not what coreutils count, with $jobs jobs"
  done
  run 0 --top 3 tree
  [ "$(counted | wc -l)" = 3 ] || fail "--top 3 prints another number of words"
  [ "$(counted | sort -rn | head -3)" = "$(sort -rn expected | head -3)" ] ||
    fail "--top 3 are not the most frequent"
}

case_utf8() {
  printf 'Na\303\257ve na\303\257ve, \320\274\320\270\321\200 \320\234\320\230\320\240' >text
  printf '\xe3\x80\x8c\xe6\x97\xa5\xe6\x9c\xac\xe3\x80\x8d bad\xffutf\xc0\xafeight' >>text
  run 0 --check text
  silent
  printf '%s\n' "1 bad" "1 eight" "1 utf" $'2 na\303\257ve' $'1 \320\234\320\230\320\240' \
    $'1 \320\274\320\270\321\200' $'1 \xe6\x97\xa5\xe6\x9c\xac' | sort >expected
  counted | cmp - expected || fail "other words"
}

case_check() {
  random_text 1000000 4 >text
  run 0 --check --jobs 2 text text text
  says out "the plain loop agrees"
  says out "speed-up"
  says out "in 3 text files of 3.0 MB"
}

# The words lie across the borders of chunks in every possible way.
case_chunks() {
  local i
  for i in 0 1 2 3 4 5 6 7; do
    { head -c "$i" /dev/zero | tr '\0' ' '; repeat 900000 abcdef; } >"text$i"
  done
  run 0 --check text?
  says out "the plain loop agrees"
  by_coreutils text? >expected
  counted | cmp - expected || fail "not what coreutils count"
}

case_huge_word() {
  head -c 3000000 /dev/zero | tr '\0' 'X' >text
  run 0 --top 0 --check --jobs 2 text
  silent
  says out "1 words, 1 different"
  says out "the plain loop agrees"
  { echo; cat text; echo; echo end; } >more
  run 0 --top 0 --check text more
  says out "3 words, 2 different"
  says out "of 6.0 MB"
}

case_empty() {
  : >empty
  run 0 --check empty
  silent
  says out "0 words, 0 different, in 1 text file of 0.0 MB"
  printf 'the end' >text
  run 0 --check text
  says out "2 words, 2 different"
  mkdir nothing
  run 0 --check nothing
  says out "in 0 text files"
}

case_default_path() {
  mkdir here
  echo word >here/text
  cd here
  "$program" >../out 2>../err
  cd ..
  silent
  says out "1 words, 1 different"
}

case_binary() {
  mkdir tree
  printf 'text\0more' >tree/early
  { head -c 8191 /dev/zero | tr '\0' 'a'; printf '\0'; } >tree/last
  { head -c 8192 /dev/zero | tr '\0' 'b'; printf '\0'; } >tree/late
  { printf '\0'; random_text 1000000 5; } >tree/big
  run 0 --check tree
  silent
  says out "1 words, 1 different, in 1 text file"
  says out "Left out: 3 binary"
  says out "the plain loop agrees"
}

case_link() {
  mkdir -p tree/folder
  echo word >tree/folder/text
  ln -s folder tree/again
  ln -s folder/text tree/text
  ln -s .. tree/folder/up
  ln -s nowhere tree/dangling
  run 0 --check tree
  silent
  says out "1 words, 1 different"
  says out "4 symbolic links"
  run 0 tree/text tree/folder/text
  says err "tree/text: Symbolic link, not followed"
  says out "1 words, 1 different"
}

case_special() {
  mkdir tree
  mkfifo tree/pipe
  echo word >tree/text
  run 0 --check tree
  silent
  says out "1 words, 1 different, in 1 text file"
  says out "1 special"
  # What was asked for by its name is told.
  run 0 tree /dev/null
  says err "wordfreq: /dev/null: Neither a file nor a directory, left out"
  says out "2 special"
  run 3 tree/pipe
  says err "wordfreq: tree/pipe: Neither a file nor a directory, left out"
}

# Names of files cannot move the cursor or change colours.
case_names() {
  run 2 $'no\e[31m\xc2\x9bsuch\xff\n' $'gr\xc3\xbc\xc3\x9fe'
  says err 'wordfreq: no\x1b[31m\xc2\x9bsuch\xff\x0a: No such file'
  says err $'wordfreq: gr\xc3\xbc\xc3\x9fe: No such file'
}

case_stdin() {
  echo word >text
  run 0 --check - text < <(repeat 900000 abcdef)
  silent
  says out "the plain loop agrees"
  says out "3 different, in 2 text files of 0.9 MB"
  run 0 - </dev/null
  says out "0 words, 0 different, in 1 text file"
  run 2 - <.
  says err "wordfreq: standard input: Is a directory"
}

# The one who reads the output has seen enough.
case_reader_gone() {
  env --default-signal=PIPE true 2>/dev/null || skip "no env --default-signal"
  local status
  random_text 3000000 6 >text
  set +o pipefail
  env --default-signal=PIPE "$program" --top 1000000 text 2>err | head -n 1 >out
  status=${PIPESTATUS[0]}
  set -o pipefail
  [ "$status" = 141 ] || fail "exit status $status, not 141 (SIGPIPE)"
  silent
}

case_missing() {
  echo word >text
  run 2 text no/such/path
  says err "wordfreq: no/such/path: No such file or directory"
  [ ! -s out ] || fail "counted all the same"
}

# Root may read everything, so this takes a file whose reading fails for everyone.
case_unreadable() {
  [ -e /proc/self/mem ] || skip "no /proc/self/mem"
  echo word >text
  run 0 --check /proc/self/mem text
  says err "wordfreq: /proc/self/mem: Input/output error"
  [ "$(wc -l <err)" = 1 ] || fail "reported more than once"
  says out "1 words, 1 different, in 1 text file"
  says out "1 unreadable"
  says out "the plain loop agrees"
  run 3 /proc/self/mem
  says out "0 words"
  if [ "$(id -u)" != 0 ]; then
    echo secret >closed
    mkdir locked
    chmod 0 closed locked
    run 0 closed locked text
    chmod 700 locked
    says err "wordfreq: closed: Permission denied"
    says err "wordfreq: locked: Permission denied"
    says out "1 words, 1 different"
    says out "2 unreadable"
  fi
}

# A file of /sys says that it has 4096 bytes and ends before.
case_shrinking() {
  local file=/sys/devices/system/cpu/possible
  [ "$(stat -c %s "$file" 2>/dev/null)" = 4096 ] || skip "no $file of 4096 bytes"
  echo word >text
  run 0 --check "$file" text
  says err "wordfreq: $file: it shrank while being read"
  says out "1 unreadable"
  says out "the plain loop agrees"
}

case_usage() {
  run 2 --no-such-option
  run 2 --top many
  says err "'many' is not a number from 0 on"
  run 2 --top -1
  run 2 --jobs 0
  run 2 --jobs
  run 0 --help
  says out "--no-progress"
  run 0 --version
  says out "wordfreq, an example of Hamgam "
}

case_json() {
  local parse
  if command -v jq >/dev/null; then
    parse() { jq -r "$1 | .[]" out; }
  else
    skip "no jq"
  fi
  printf 'Two words, two w\303\266rter' >text
  run 0 --json --check --jobs 2 --top 2 text
  silent
  parse '[.top[0].word, .top[0].count, (.top | length), .words, .distinct, .files, .bytes, .jobs,
    .check.agrees, .interrupted]' | paste -sd ' ' >found
  echo "two 2 2 4 3 1 22 2 true false" | cmp - found || fail "other values: $(cat found)"
  : >empty
  run 0 --json empty
  parse '[.words, (.top | length), .check]' | paste -sd ' ' >found
  echo "0 0 null" | cmp - found || fail "other values: $(cat found)"
}

case_skip_common() {
  printf "It's the end, and the End of it all: don't ask" >text
  run 0 --skip-common --check text
  silent
  printf '%s\n' "1 ask" "2 end" >expected
  counted | cmp - expected || fail "other words"
  says out "13 words, 10 different"
  run 0 --skip-common --top 1 text
  [ "$(counted)" = "2 end" ] || fail "--top counts words that are not printed"
  run 0 --top 2 text
  printf '%s\n' "2 end" "2 it" | cmp - <(counted) || fail "skips without being told to"
}

case_full() {
  [ -e /dev/full ] || skip "no /dev/full"
  local status=0
  echo word >text
  "$program" text >/dev/full 2>err || status=$?
  [ "$status" = 2 ] || fail "exit status $status, not 2"
  says err "standard output: No space left on device"
  status=0
  "$program" --help >/dev/full 2>err || status=$?
  [ "$status" = 2 ] || fail "exit status $status of --help, not 2"
}

# What is opened next must not take the place of a standard descriptor that is closed.
case_closed() {
  local status arguments
  echo word >text
  status=0
  "$program" - <&- >out 2>err || status=$?
  [ "$status" = 2 ] || fail "exit status $status, not 2, without standard input"
  says err "wordfreq: standard input: Bad file descriptor"
  [ ! -s out ] || fail "counted all the same"
  for arguments in text "--json text" - --help --version; do
    status=0
    # shellcheck disable=SC2086
    "$program" $arguments <text >&- 2>err || status=$?
    [ "$status" = 2 ] || fail "exit status $status, not 2, of $arguments without standard output"
    says err "wordfreq: standard output: "
  done
  status=0
  "$program" text <&- >&- 2>&- || status=$?
  [ "$status" = 2 ] || fail "exit status $status, not 2, with all closed"
  "$program" --check text <&- >out 2>&- || fail "needs more than standard output"
  says out "1 words, 1 different, in 1 text file"
}

# Interrupts a count that would take minutes: many times the same file, or one big file.
case_interrupt() {
  local status pid i how
  local -a paths=()
  repeat 20000000 'some words to count for a while' >text
  for ((i = 0; i < 3000; ++i)); do paths+=(text); done
  truncate -s 100G holes
  printf 'end' >>holes
  { printf 'begin\n'; repeat 9000 'no hole in the first 8 KiB'; } | dd of=holes conv=notrunc 2>dd
  for how in many big; do
    status=0
    if [ "$how" = many ]; then
      "$program" "${paths[@]}" >out 2>err &
    else
      "$program" holes >out 2>err &
    fi
    pid=$!
    sleep 1
    kill -INT "$pid"
    wait "$pid" || status=$?
    [ "$status" = 130 ] || fail "exit status $status, not 130, with $how"
    silent
    says out "Interrupted: this is what was counted so far"
    says out " different, in "
  done
}

# Counts, after a command on the terminal, more and more until it takes so long that there is a bar.
# Leaves the files in paths.
shows_bar() { # PATTERN COMMAND
  local i count=0
  paths=""
  while ((count < 200)); do
    for ((i = 0; i < 10; ++i)); do paths+=" text"; done
    count=$((count + 10))
    script -qec "$2; $program $paths >out" terminal >/dev/null </dev/null || return 1
    ! grep -qE "$1" terminal || return 0
  done
  return 1
}

# There is a bar on a terminal, and only there; messages do not get lost in it.
case_progress() {
  command -v script >/dev/null || skip "no script command"
  local i paths=""
  export TERM=xterm
  repeat 20000000 'some words to count for a while' >text
  shows_bar '\[#*  *\] .* of [0-9]+ files' "stty cols 80" || fail "no progress bar on a terminal"
  script -qec "$program --no-progress $paths >out" terminal >/dev/null </dev/null
  if grep -q 'files' terminal; then fail "a progress bar in spite of --no-progress"; fi
  TERM=dumb script -qec "$program text >out" terminal >/dev/null </dev/null
  if grep -q 'files' terminal; then fail "a progress bar on a dumb terminal"; fi
  shows_bar '[0-9]% [0-9]+ of [0-9]+' "stty cols 20" || fail "no percentage on a narrow terminal"
  # shellcheck disable=SC2086
  run 0 $paths
  silent

  # Many small files beside a big one: they are done long before it, or long after.
  mkdir small
  for ((i = 0; i < 1500; ++i)); do echo word >"small/$i"; done
  cat text text >big
  for paths in "big small" "small big"; do
    script -qec "$program $paths >out" terminal >/dev/null </dev/null
    tr '\r' '\n' <terminal | sed -nE 's/.* ([0-9]+)% ([0-9]+) of 1501 files, ([0-9.]+) MB.*/\1 \2 \3/p' |
      awk '{ ++n } $1 > $3 / 0.4 + 10 || $1 * 15.01 > $2 + 150 { exit 1 }' ||
      fail "the bar is ahead of the work: $paths"
  done
}

"case_$2"
