// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Random sends, receives, selects and closes on two channels, by goroutines and threads at once:
// some order of the calls, one after the other, explains what each of them returned.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <optional>
#include <random>
#include <vector>

#include "hamgam/hamgam.h"
#include "stress/linearizability.h"
#include "support/close.h"
#include "support/crew.h"
#include "support/scale.h"
#include "support/seed.h"

namespace {

using hamgam::Chan;
using hamgam::make_chan;
using hamgam::on_recv;
using hamgam::on_send;
using hamgam::on_timeout;
using hamgam::otherwise;
using hamgam::test::Crew;
using hamgam::test::Who;

constexpr std::size_t kChans = 2;

// What a case asks of which channel.
struct Ask {
  bool send = false;
  std::size_t chan = 0;
  int value = 0;
};

struct Op {
  enum Kind { kClose, kSelect };
  enum { kNothing = -1, kPanic = -2 };

  Kind kind = kSelect;
  std::array<Ask, 2> asks{};
  std::size_t count = 0;   // of asks
  int chosen = kNothing;   // which of them was done
  std::optional<int> got;  // by a receive; none: closed
};

// A queue each. An unbuffered channel holds its value only from a send to the receive that is next.
struct Model {
  std::array<std::size_t, kChans> capacity{};
  std::array<std::vector<int>, kChans> held;
  std::array<bool, kChans> closed{};

  auto operator<=>(const Model&) const = default;

  [[nodiscard]] bool owes_receive(std::size_t chan) const {
    return capacity[chan] == 0 && !held[chan].empty();
  }

  // Whether somebody waits on the other side of an unbuffered channel is not in the model.
  [[nodiscard]] bool surely_ready(const Ask& ask) const {
    return closed[ask.chan] ||
           (capacity[ask.chan] > 0 &&
            (ask.send ? held[ask.chan].size() < capacity[ask.chan] : !held[ask.chan].empty()));
  }

  bool step(const Op& op) {
    for (std::size_t chan = 0; chan < kChans; ++chan) {
      bool const receives = op.kind == Op::kSelect && op.chosen >= 0 &&
                            !op.asks[static_cast<std::size_t>(op.chosen)].send &&
                            op.asks[static_cast<std::size_t>(op.chosen)].chan == chan;
      if (owes_receive(chan) && !receives) {
        return false;
      }
    }
    if (op.kind == Op::kClose) {
      bool& is_closed = closed[op.asks[0].chan];
      bool const right = is_closed == (op.chosen == Op::kPanic);
      is_closed = true;
      return right;
    }
    if (op.chosen == Op::kPanic) {  // of a send
      return (op.asks[0].send && closed[op.asks[0].chan]) ||
             (op.count > 1 && op.asks[1].send && closed[op.asks[1].chan]);
    }
    if (op.chosen == Op::kNothing) {
      return !surely_ready(op.asks[0]) && (op.count < 2 || !surely_ready(op.asks[1]));
    }
    const Ask& ask = op.asks[static_cast<std::size_t>(op.chosen)];
    std::vector<int>& queue = held[ask.chan];
    if (ask.send) {
      if (closed[ask.chan] || queue.size() >= std::max<std::size_t>(1, capacity[ask.chan])) {
        return false;
      }
      queue.push_back(ask.value);
      return true;
    }
    if (!op.got) {
      return closed[ask.chan] && queue.empty();
    }
    if (queue.empty() || queue.front() != *op.got) {
      return false;
    }
    queue.erase(queue.begin());
    return true;
  }
};

using Chans = std::array<Chan<int>, kChans>;

void do_alone(Op& op, const Chans& chans, int patience) {
  const Ask& ask = op.asks[0];
  const Chan<int>& ch = chans[ask.chan];
  std::chrono::microseconds const d(20 * patience);
  if (ask.send) {
    op.chosen =
        (patience == 0 ? ch.try_send(ask.value) : ch.send_for(ask.value, d)) ? 0 : Op::kNothing;
    return;
  }
  auto const result = patience == 0 ? ch.try_recv() : ch.recv_for(d);
  op.got = result.value;
  op.chosen = result.value || result.closed ? 0 : Op::kNothing;
}

void do_select(Op& op, const Chans& chans, int patience) {
  hamgam::SelectSet set;
  for (std::size_t i = 0; i < 2; ++i) {
    const Ask& ask = op.asks[i];
    auto const chosen = [&op, i] { op.chosen = static_cast<int>(i); };
    if (ask.send) {
      set.add(on_send(chans[ask.chan], ask.value, chosen));
    } else {
      set.add(on_recv(chans[ask.chan], [&op, chosen](std::optional<int> v) {
        op.got = v;
        chosen();
      }));
    }
  }
  if (patience == 0) {
    set.add(otherwise());
  } else {
    set.add(on_timeout(std::chrono::microseconds(20 * patience)));
  }
  (void)set.wait();
}

void do_op(Op& op, const Chans& chans, int patience) {
  try {
    if (op.kind == Op::kClose) {
      op.chosen = 0;
      hamgam::test::close_beside_senders(chans[op.asks[0].chan]);
    } else if (op.count == 1) {
      do_alone(op, chans, patience);
    } else {
      do_select(op, chans, patience);
    }
  } catch (const hamgam::Panic&) {
    op.chosen = Op::kPanic;
  }
}

class ChanLinearizability : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(, ChanLinearizability, hamgam::test::everybody(), hamgam::test::name_of);

TEST_P(ChanLinearizability, explains_random_calls) {
  constexpr std::size_t kActors = 3;
  constexpr int kCalls = 6;
  std::uint64_t const first = hamgam::test::seed();
  int const seeds = std::max(50, hamgam::test::scaled(1000));
  for (std::uint64_t seed = first; seed < first + static_cast<std::uint64_t>(seeds); ++seed) {
    std::mt19937_64 random(seed);
    Model model;
    Chans chans;
    for (std::size_t i = 0; i < kChans; ++i) {
      model.capacity[i] = random() % 3;
      chans[i] = make_chan<int>(model.capacity[i]);
    }
    hamgam::test::History<Op> history(kActors);
    {
      Crew crew(GetParam());
      for (std::size_t actor = 0; actor < kActors; ++actor) {
        crew.start([&, actor, own = random()] {
          std::mt19937_64 choose(own);
          for (int i = 0; i < kCalls; ++i) {
            Op op;
            op.kind = choose() % 16 == 0 ? Op::kClose : Op::kSelect;
            op.count = 1 + choose() % 2;
            for (Ask& ask : op.asks) {
              ask = {choose() % 2 == 0, choose() % kChans, static_cast<int>(actor) * 100 + i};
            }
            auto const patience = static_cast<int>(choose() % 3);
            history.record(actor, op, [&](Op& call) { do_op(call, chans, patience); });
          }
        });
      }
    }
    ASSERT_TRUE(hamgam::test::linearizable(history.calls(), model)) << "seed " << seed;
  }
}

}  // namespace
