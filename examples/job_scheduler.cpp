// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A job scheduler: jobs run at once, after a delay, or at fixed times as cron's do; one that fails
// is tried again, later and later, and each attempt has a time limit. Few run at a time. On SIGTERM
// or Ctrl-C no job starts any more; those that run may finish, within a limit. A journal says what
// has succeeded, so that the next run of the program does the rest.
#include <hamgam/hamgam.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

namespace {

using namespace std::chrono_literals;
using hamgam::Context;
using Millis = std::chrono::milliseconds;

struct Job {
  std::string name;
  std::function<void(const Context&)> work;
  Millis delay{0};  // from add() on
  Millis every{0};  // 0: once; else at the multiples of it, by the clock on the wall,
  Millis at{0};     // and that much later: every 24 h at 3 h is each day at three, UTC
  Millis limit{60'000};
  int attempts = 1;
  Millis pause{100};  // before the second attempt; twice as long before each further one
};

enum class Outcome { succeeded, failed, postponed };

// The names of jobs that have succeeded, a line each.
class Journal {
 public:
  explicit Journal(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code none_yet;
    std::istringstream lines(hamgam::file::read_all(path_, none_yet));
    for (std::string line; std::getline(lines, line);) {
      names_.lock()->insert(line);
    }
  }

  [[nodiscard]] bool has(const std::string& name) { return names_.lock()->contains(name); }

  void add(const std::string& name) {
    const auto names = names_.lock();
    names->insert(name);
    std::string text;
    for (const std::string& n : *names) {
      text += n + '\n';
    }
    const std::filesystem::path written = path_.string() + ".new";
    hamgam::file::write_all(written, text);
    hamgam::blocking([&] { std::filesystem::rename(written, path_); });  // all of it, or none
  }

 private:
  std::filesystem::path path_;
  hamgam::Guarded<std::set<std::string>> names_;
};

class Scheduler {
 public:
  // Starts jobs until ctx ends, and has `at_once` of them running at most.
  Scheduler(Context ctx, int at_once, Journal& journal) : places_(at_once), journal_(journal) {
    std::tie(starting_, start_none_) = hamgam::with_cancel(std::move(ctx));
    std::tie(working_, give_up_) = hamgam::with_cancel(Context::background());
  }
  ~Scheduler() {
    start_none_();
    give_up_();
    jobs_.wait();
  }
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // What has become of the job comes from the channel.
  hamgam::RecvChan<Outcome> add(Job job) {
    const auto outcome = hamgam::make_chan<Outcome>(1);
    jobs_.go({.name = job.name},
             [this, outcome, job = std::move(job)] { outcome.send(live(job)); });
    return outcome;
  }

  // Waits until all jobs have ended. Those that still run when ctx has ended and then the limit is
  // over are cancelled: false.
  bool finish(Millis limit) {
    if (jobs_.wait(starting_.stop_token()) || jobs_.wait_for(limit)) {
      return true;
    }
    give_up_();
    jobs_.wait();
    return false;
  }

 private:
  // The whole life of a job, in its own goroutine.
  Outcome live(const Job& job) {
    if (!hamgam::sleep(job.delay, starting_.stop_token())) {
      return Outcome::postponed;
    }
    if (job.every == Millis::zero()) {
      return journal_.has(job.name) ? Outcome::succeeded : run(job);
    }
    while (hamgam::sleep(until_next(job), starting_.stop_token())) {
      (void)run(job);  // if it fails: at the next time
    }
    return Outcome::postponed;
  }

  static std::chrono::nanoseconds until_next(const Job& job) {
    const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
    return job.every - (now - job.at) % job.every;
  }

  // Tries until it succeeds or there are no attempts left.
  Outcome run(const Job& job) {
    Millis pause = job.pause;
    for (int left = job.attempts;; pause *= 2) {
      const Outcome outcome = attempt(job);
      if (outcome != Outcome::failed || --left == 0) {
        return outcome;
      }
      if (!hamgam::sleep(pause, starting_.stop_token())) {
        return Outcome::postponed;
      }
    }
  }

  // As soon as there is a place.
  Outcome attempt(const Job& job) {
    if (!places_.acquire(starting_.stop_token())) {
      return Outcome::postponed;
    }
    const hamgam::SemaphoreGuard place(places_, std::adopt_lock);
    if (starting_.err()) {  // a free place is given even then
      return Outcome::postponed;
    }
    const auto [ctx, cancel] = hamgam::with_timeout(working_, job.limit);
    const hamgam::CancelGuard guard(cancel);
    try {
      job.work(ctx);
      if (job.every == Millis::zero()) {
        journal_.add(job.name);
      }
      return Outcome::succeeded;
    } catch (const std::exception& e) {
      std::cout << job.name + ": " + e.what() + "\n";
      return working_.err() ? Outcome::postponed : Outcome::failed;
    }
  }

  Context starting_;  // who is not at work looks at this
  hamgam::CancelFunc start_none_;
  Context working_;  // and who is, at this
  hamgam::CancelFunc give_up_;
  hamgam::Semaphore places_;
  Journal& journal_;
  hamgam::WaitGroup jobs_;
};

void print(std::string_view name, const hamgam::RecvChan<Outcome>& outcome) {
  constexpr std::string_view kTexts[] = {"succeeded", "failed", "postponed"};
  const std::string_view text = kTexts[static_cast<int>(*outcome.recv())];
  std::cout << name << ' ' << text << '\n';
}

void nothing(const Context& /*unused*/) {}

// Until the signal comes, which the program sends to itself.
void first_run(Journal& journal) {
  const auto [ctx, cancel] = hamgam::with_signals(Context::background(), {SIGINT, SIGTERM});
  const hamgam::CancelGuard guard(cancel);
  const auto beats = hamgam::make_chan<hamgam::Unit>(3);
  const auto begun = hamgam::make_chan<hamgam::Unit>();
  const auto go_on = hamgam::make_chan<hamgam::Unit>();
  hamgam::Atomic<int> tries;
  Scheduler scheduler(ctx, 2, journal);  // last, so that what its jobs use is there

  print("backup", scheduler.add({.name = "backup", .work = nothing, .delay = 2ms}));
  const auto flaky = [&](const Context&) {
    if (tries.add(1) < 3) {
      throw std::runtime_error("the server is busy");
    }
  };
  print("fetch", scheduler.add({.name = "fetch", .work = flaky, .attempts = 5, .pause = 1ms}));
  const auto beat = [&](const Context&) { (void)beats.try_send({}); };
  const auto heartbeat = scheduler.add({.name = "heartbeat", .work = beat, .every = 2ms});
  for (int i = 0; i < 3; ++i) {
    beats.recv();
  }

  const auto slow = [&](const Context&) {
    begun.send({});
    go_on.recv();
  };
  const auto endless = [&](const Context& limit) {
    begun.send({});
    limit.done().recv();
    throw std::system_error(limit.err());
  };
  const auto copy = scheduler.add({.name = "copy", .work = slow});
  const auto mirror = scheduler.add({.name = "mirror", .work = endless});
  const auto report = scheduler.add({.name = "report", .work = nothing, .delay = 1h});
  begun.recv();
  begun.recv();
  std::raise(SIGTERM);
  ctx.done().recv();
  go_on.close();
  print("after SIGTERM: copy", copy);
  std::cout << (scheduler.finish(20ms) ? "all have ended" : "the limit is over") << '\n';
  print("mirror", mirror);
  print("report", report);
  print("heartbeat", heartbeat);
}

// What had not been done.
void second_run(Journal& journal) {
  Scheduler scheduler(Context::background(), 2, journal);
  for (const char* name : {"backup", "fetch", "copy", "mirror", "report"}) {
    const auto work = [name](const Context&) { std::cout << "at work on " << name << '\n'; };
    print(name, scheduler.add({.name = name, .work = work}));
  }
  (void)scheduler.finish(1min);
}

}  // namespace

int main() {
  return hamgam::run([] {
    const auto path =
        std::filesystem::temp_directory_path() / ("hamgam_jobs." + std::to_string(getpid()));
    for (const auto run : {first_run, second_run}) {
      Journal journal(path);
      run(journal);
    }
    std::filesystem::remove(path);
  });
}
