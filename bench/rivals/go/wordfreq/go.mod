module hamgam/bench/wordfreq

go 1.22
