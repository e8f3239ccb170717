// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A job scheduler: jobs run once after a delay, or again and again; a job may have to wait for
// others, is tried again if it fails, has a time limit for each attempt, and can be cancelled. Few
// run at a time; closing it lets those that run finish and starts no more.
#include <hamgam/hamgam.h>

#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using hamgam::Context;
using hamgam::on_recv;
using Millis = std::chrono::milliseconds;

struct Job {
  std::string name;
  std::function<void(const Context&)> work;
  std::vector<std::string> after{};  // names of jobs that must have succeeded before
  Millis delay{0};
  Millis every{0};  // 0: once
  Millis limit{60'000};
  int attempts = 1;
};

enum class Outcome { succeeded, failed, cancelled };

class Scheduler {
 public:
  explicit Scheduler(int at_once) : places_(at_once) {
    std::tie(all_, cancel_all_) = hamgam::with_cancel(Context::background());
  }
  ~Scheduler() { close(); }
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // A job's name is new, and the jobs that it waits for are there already: so there are no circles.
  void add(Job job) {
    auto [ctx, cancel] = hamgam::with_cancel(all_);
    std::vector<hamgam::RecvChan<hamgam::Unit>> needs;
    Entry entry{.cancel = cancel};
    {
      auto entries = entries_.lock();
      for (const std::string& name : job.after) {
        needs.push_back(entries->at(name).ended);
      }
      if (!entries->try_emplace(job.name, entry).second) {
        throw std::invalid_argument("there is a job " + job.name);
      }
    }
    jobs_.go({.name = job.name}, [this, ctx = ctx, needs = std::move(needs), job = std::move(job)] {
      const Outcome outcome = live(ctx, needs, job);
      auto entries = entries_.lock();
      Entry& mine = entries->at(job.name);
      mine.outcome = outcome;
      mine.ended.close();  // all who wait for it go on
    });
  }

  void cancel(const std::string& name) { entries_.lock()->at(name).cancel(); }

  // Waits until the job has ended.
  Outcome wait(const std::string& name) {
    const auto ended = entries_.lock()->at(name).ended;  // not while we hold the lock
    ended.recv();
    return outcome_of(name);
  }

  // No job starts any more; waits for those that run.
  void close() {
    cancel_all_();
    jobs_.wait();
  }

 private:
  struct Entry {
    hamgam::CancelFunc cancel{};
    hamgam::Chan<hamgam::Unit> ended = hamgam::make_chan<hamgam::Unit>();
    Outcome outcome = Outcome::cancelled;
  };

  Outcome outcome_of(const std::string& name) { return entries_.lock()->at(name).outcome; }
  // The whole life of a job, in its own goroutine.
  Outcome live(const Context& ctx, const std::vector<hamgam::RecvChan<hamgam::Unit>>& needs,
               const Job& job) {
    for (const auto& need : needs) {
      if (hamgam::select(on_recv(ctx.done()), on_recv(need)) == 0) {
        return Outcome::cancelled;
      }
    }
    for (const std::string& name : job.after) {
      if (outcome_of(name) != Outcome::succeeded) {
        return Outcome::cancelled;
      }
    }
    if (!hamgam::sleep(job.delay, ctx.stop_token())) {
      return Outcome::cancelled;
    }
    if (job.every == Millis::zero()) {
      return attempt(ctx, job);
    }
    const hamgam::Ticker ticker(job.every);
    Outcome last = attempt(ctx, job);
    while (hamgam::select(on_recv(ctx.done()), on_recv(ticker.chan())) != 0) {
      last = attempt(ctx, job);
    }
    return last;
  }

  // Tries until it succeeds or there are no attempts left, each time within the limit.
  Outcome attempt(const Context& ctx, const Job& job) {
    for (int left = job.attempts; left > 0; --left) {
      if (!places_.acquire(ctx.stop_token())) {
        return Outcome::cancelled;
      }
      const hamgam::SemaphoreGuard place(places_, std::adopt_lock);
      auto [limited, cancel] = hamgam::with_timeout(ctx, job.limit);
      const hamgam::CancelGuard guard(cancel);
      try {
        job.work(limited);
        return Outcome::succeeded;
      } catch (const std::exception&) {
        if (ctx.err()) {
          return Outcome::cancelled;
        }
      }
    }
    return Outcome::failed;
  }

  Context all_;
  hamgam::CancelFunc cancel_all_;
  hamgam::Semaphore places_;
  hamgam::Guarded<std::map<std::string, Entry>> entries_;
  hamgam::WaitGroup jobs_;
};

const char* text(Outcome outcome) {
  constexpr const char* kTexts[] = {"succeeded", "failed", "cancelled"};
  return kTexts[static_cast<int>(outcome)];
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::Guarded<std::string> log;
    hamgam::Atomic<int> tries;
    const auto beats = hamgam::make_chan<hamgam::Unit>();
    Scheduler scheduler(2);  // last, so that its jobs are over before what they use is gone
    const auto says = [&log](char c) { return [&log, c](const Context&) { *log.lock() += c; }; };

    scheduler.add({.name = "fetch", .work = says('f'), .delay = 2ms});
    scheduler.add({.name = "parse", .work = says('p'), .after = {"fetch"}});
    scheduler.add({.name = "index", .work = says('i'), .after = {"fetch", "parse"}});
    std::cout << "index " << text(scheduler.wait("index")) << ", in the order " << *log.lock()
              << '\n';

    const auto flaky = [&tries](const Context&) {
      if (tries.add(1) < 3) {
        throw std::runtime_error("not yet");
      }
    };
    scheduler.add({.name = "flaky", .work = flaky, .attempts = 5});
    std::cout << "flaky " << text(scheduler.wait("flaky")) << " after " << tries.load()
              << " attempts\n";

    const auto slow = [](const Context& ctx) {
      ctx.done().recv();  // as long as it may
      throw std::system_error(ctx.err());
    };
    scheduler.add({.name = "slow", .work = slow, .limit = 2ms});
    scheduler.add({.name = "report", .work = says('r'), .after = {"slow"}});
    std::cout << "slow " << text(scheduler.wait("slow")) << ", so report "
              << text(scheduler.wait("report")) << '\n';

    const auto beat = [beats](const Context& ctx) { (void)beats.send({}, ctx.stop_token()); };
    scheduler.add({.name = "heartbeat", .work = beat, .every = 1ms});
    for (int i = 0; i < 3; ++i) {
      beats.recv();
    }
    scheduler.cancel("heartbeat");
    (void)scheduler.wait("heartbeat");
    std::cout << "three beats, and no more\n";

    scheduler.add({.name = "never", .work = says('n'), .delay = 1h});
    scheduler.close();
    std::cout << "never " << text(scheduler.wait("never")) << '\n';
  });
}
