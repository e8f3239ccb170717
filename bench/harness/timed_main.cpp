// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// main() of the programs that time operations: Google Benchmark chooses how many operations to
// do and takes the wall time. Without --run it is an ordinary Google Benchmark program.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "program.h"

namespace bench {
namespace {

// One call with all the operations: `for (auto _ : state)` would pin the loop to this thread.
void run(benchmark::State& state, const Case& c, int workers) {
  while (state.KeepRunningBatch(state.max_iterations)) c.op()(workers, state.max_iterations);
}

double in_unit(double nanoseconds, std::string_view unit) {
  if (unit == "us") return nanoseconds / 1e3;
  if (unit == "ms") return nanoseconds / 1e6;
  return nanoseconds;
}

class Reporter : public benchmark::BenchmarkReporter {
 public:
  explicit Reporter(const Request& request) : request_(request) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.iterations == 0) continue;
      const double ns = run.real_accumulated_time * 1e9 / static_cast<double>(run.iterations);
      print_value(*request_.chosen, request_.workers, in_unit(ns, request_.chosen->unit()));
    }
  }

 private:
  const Request& request_;
};

benchmark::internal::Benchmark* enlist(const Case& c, int workers) {
  const std::string name = std::string(c.name()) + "/workers:" + std::to_string(workers);
  return benchmark::RegisterBenchmark(
             name.c_str(), [&c, workers](benchmark::State& state) { run(state, c, workers); })
      ->UseRealTime();
}

int run_one(const Request& request) {
  enlist(*request.chosen, request.workers)->MinTime(request.min_time)->Repetitions(request.reps);
  Reporter reporter(request);
  return benchmark::RunSpecifiedBenchmarks(&reporter) == 1 ? 0 : 1;
}

int run_all(int argc, char** argv) {
  for (const Case* c = Case::first(); c != nullptr; c = c->next()) {
    for (const int workers : *c) enlist(*c, workers);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Request request;
  return bench::parse(argc, argv, request) ? bench::run_one(request) : bench::run_all(argc, argv);
}
