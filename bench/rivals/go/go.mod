module hamgam/bench

go 1.23
