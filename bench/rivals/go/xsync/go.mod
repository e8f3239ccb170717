module hamgam/bench/xsync

go 1.23.0

require hamgam/bench v0.0.0

require golang.org/x/sync v0.12.0

replace hamgam/bench => ../
