// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A pool of workers: three goroutines take jobs from one channel and send results into another,
// which is closed when the last of them has ended.
#include <hamgam/hamgam.h>

#include <iostream>
#include <map>

namespace {

constexpr int kWorkers = 3;
constexpr int kJobs = 9;

struct Result {
  int job;
  int answer;
};

}  // namespace

int main() {
  return hamgam::run([] {
    auto jobs = hamgam::make_chan<int>();
    auto results = hamgam::make_chan<Result>();
    hamgam::WaitGroup workers;
    for (int w = 0; w < kWorkers; ++w) {
      workers.go([=] {
        for (const int job : jobs) {
          results.send({job, job * 2});
        }
      });
    }
    hamgam::go([jobs] {
      for (int job = 1; job <= kJobs; ++job) {
        jobs.send(job);
      }
      jobs.close();
    });
    hamgam::go([&workers, results] {
      workers.wait();
      results.close();
    });

    std::map<int, int> answers;  // they come in any order
    for (const Result result : results) {
      answers[result.job] = result.answer;
    }
    for (const auto& [job, answer] : answers) {
      std::cout << job << ":" << answer << (job < kJobs ? ' ' : '\n');
    }
  });
}
