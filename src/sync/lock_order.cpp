// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/lock_order.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

#include "fiber/unwind.h"
#include "sync/lock_node.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kFrames = 48;
constexpr std::size_t kMostLooks = 100'000;  // locks, for one new edge
constexpr std::size_t kMostTries = 100;      // edges, for one new writer

std::uint64_t incarnation_of(const LockNode& node) noexcept {
  return node.incarnation.load(kRelaxed);  // relaxed: whoever looks has it, or had
}

std::uint64_t hash_of(const OwnVector<const void*>& frames) noexcept {
  std::uint64_t hash = 0;
  for (const void* const frame : frames) {
    hash = (hash ^ reinterpret_cast<std::uintptr_t>(frame)) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

// What of `gates` is in `others`, too. Does anything go?
bool LockOrder::keep_common(Gates& gates, const Gates& others) noexcept {
  return std::erase_if(gates, [&](const LockNode* gate) {
           return std::find(others.begin(), others.end(), gate) == others.end();
         }) != 0;
}

LockOrder::Gates LockOrder::gates_of(const OwnVector<HeldLock>& held, std::size_t count,
                                     const LockNode& node) {
  Gates gates;
  for (std::size_t i = 0; i < count; ++i) {
    if (held[i].alone && held[i].node != &node) {
      gates.push_back(held[i].node);
    }
  }
  return gates;
}

bool LockOrder::stands(const Edge& edge) noexcept {
  // relaxed: a hint
  return edge.to_incarnation == incarnation_of(*edge.to) && !edge.to->anybodys.load(kRelaxed) &&
         !edge.from->anybodys.load(kRelaxed);  // relaxed: as that of the other end
}

LockOrder::Edge* LockOrder::find(const LockNode& from, const LockNode& to) {
  auto const edges = out_.find(&from);
  if (edges == out_.end()) {
    return nullptr;
  }
  auto const found = edges->second.find(&to);
  if (found == edges->second.end() || found->second->to_incarnation != incarnation_of(to)) {
    return nullptr;
  }
  return found->second.get();
}

const LockOrder::Writers* LockOrder::find_writers(const LockNode& node) const {
  auto const found = writers_.find(&node);
  return found != writers_.end() && found->second.incarnation == incarnation_of(node)
             ? &found->second
             : nullptr;
}

// The shortest.
bool LockOrder::find_path(const LockNode& from, const LockNode& to, OwnVector<const Edge*>& path) {
  if (&from == &to) {
    return true;
  }
  OwnVector<std::pair<const Edge*, std::size_t>> found;  // and which one led to it
  OwnSet<const LockNode*> seen{&from};
  auto const expand = [&](const LockNode& node, std::size_t by) {
    auto const edges = out_.find(&node);
    if (edges == out_.end()) {
      return false;
    }
    std::erase_if(edges->second, [](const auto& edge) { return !stands(*edge.second); });
    for (const auto& [to_node, edge] : edges->second) {
      if (seen.insert(to_node).second) {
        found.emplace_back(edge.get(), by);
        if (to_node == &to) {
          return true;
        }
      }
    }
    return false;
  };
  bool reached = expand(from, SIZE_MAX);
  for (std::size_t i = 0; i < found.size() && !reached && i < kMostLooks; ++i) {
    reached = expand(*found[i].first->to, i);
  }
  auto const before = static_cast<std::ptrdiff_t>(path.size());
  if (reached) {
    for (std::size_t i = found.size() - 1; i != SIZE_MAX; i = found[i].second) {
      path.push_back(found[i].first);
    }
    std::reverse(path.begin() + before, path.end());
  }
  return reached;
}

bool LockOrder::could_deadlock(const OwnVector<const Edge*>& circle) const {
  OwnVector<const LockNode*> gates = circle.front()->gates;
  for (std::size_t i = 0; i < circle.size(); ++i) {
    const Edge& edge = *circle[i];
    const Edge& next = *circle[(i + 1) % circle.size()];
    if (!edge.to_alone && !next.from_alone && find_writers(*edge.to) == nullptr) {
      return false;
    }
    keep_common(gates, edge.gates);
  }
  if (circle.size() == 1) {  // the other one in it is a writer
    const Writers* const writers = find_writers(*circle.front()->to);
    keep_common(gates, writers != nullptr ? writers->gates : Gates());
  }
  // What is itself in the circle is no gate.
  std::erase_if(gates, [&](const LockNode* gate) {
    return std::any_of(circle.begin(), circle.end(),
                       [gate](const Edge* edge) { return edge->to == gate; });
  });
  return gates.empty();
}

// Of a circle that the edge closes and that could deadlock; empty if that was told of.
LockOrderReport LockOrder::report_of(Edge& edge, const OwnVector<const Edge*>& circle) {
  std::uint64_t stacks = 0;
  LockOrderReport report;
  for (const Edge* one : circle) {
    stacks += hash_of(one->step.frames);
    report.steps.push_back(one->step);
  }
  if (!told_.insert(stacks).second) {  // the same, of other locks
    report.steps.clear();
  }
  edge.told = true;
  return report;
}

void LockOrder::look(Edge& edge, LockOrderReport& report) {
  OwnVector<const Edge*> circle{&edge};
  if (!edge.told && report.steps.empty() && find_path(*edge.to, *edge.from, circle) &&
      could_deadlock(circle)) {
    report = report_of(edge, circle);
  }
}

// For each edge that leads to it the shortest circle, in one search.
void LockOrder::look_at_circles_of_readers(const LockNode& node,
                                           OwnVector<LockOrderReport>& reports) {
  OwnVector<std::pair<Edge*, std::size_t>> found;  // and which one led to it
  OwnSet<const LockNode*> seen;
  bool refused = false;
  auto const add = [&](Edge& edge, const OwnVector<const Edge*>& circle) {
    if (reports.size() == reports.capacity()) {
      reports.reserve(2 * reports.size() + 1);  // what is told is not lost
    }
    LockOrderReport report = report_of(edge, circle);
    if (!report.steps.empty()) {
      reports.push_back(std::move(report));
    }
  };
  auto const expand = [&](const LockNode& from, std::size_t by) {
    auto const edges = out_.find(&from);
    if (edges == out_.end()) {
      return;
    }
    std::erase_if(edges->second, [](const auto& edge) { return !stands(*edge.second); });
    for (const auto& [to, edge] : edges->second) {
      if (to == &node && !edge->told) {
        OwnVector<const Edge*> circle{edge.get()};
        for (std::size_t i = by; i != SIZE_MAX; i = found[i].second) {
          circle.push_back(found[i].first);
        }
        std::reverse(circle.begin() + 1, circle.end());
        if (could_deadlock(circle)) {
          add(*edge, circle);
        } else {
          refused = true;
        }
      } else if (to != &node && (&from != &node || !edge->from_alone) && seen.insert(to).second) {
        found.emplace_back(edge.get(), by);
      }
    }
  };
  expand(node, SIZE_MAX);
  for (std::size_t i = 0; i < found.size() && i < kMostLooks; ++i) {
    expand(*found[i].first->to, i);
  }
  // Where the shortest could not deadlock another may, that begins otherwise: some are tried.
  if (!refused) {
    return;
  }
  std::size_t tries = kMostTries;
  for (const auto& [to, edge] : out_[&node]) {
    if (tries == 0) {
      return;
    }
    OwnVector<const Edge*> circle{edge.get()};
    if (!edge->from_alone && !edge->told && stands(*edge)) {
      --tries;
      if (find_path(*to, node, circle) && could_deadlock(circle)) {
        add(*edge, circle);
      }
    }
  }
}

LockOrderReport LockOrder::take(const OwnVector<HeldLock>& held, const LockNode& node, bool alone,
                                const LockOrderStep& who) {
  std::lock_guard const guard(lock_);
  LockOrderReport report;
  OwnVector<const void*> frames;
  bool linked = false;
  bool const again = std::any_of(held.begin(), held.end(), [&](const HeldLock& one) {
    return one.node == &node && one.incarnation == incarnation_of(node);
  });
  for (std::size_t i = held.size(); i-- != 0;) {
    const HeldLock& one = held[i];
    if (one.incarnation != incarnation_of(*one.node)) {
      continue;  // forgotten, or about to be
    }
    // Who has it already has not taken it after the others; who waits for itself is told of when it
    // does.
    if (again ? one.node != &node || one.alone || alone : linked) {
      continue;
    }
    linked = linked || one.waited;
    // What is taken between two reads keeps no writer from coming in between.
    Gates gates = gates_of(held, again ? i : held.size(), node);
    std::erase(gates, one.node);
    Edge* edge = find(*one.node, node);
    bool changed = edge == nullptr;
    if (edge == nullptr) {
      if (frames.empty()) {
        frames.resize(kFrames);
        frames.resize(std::min(unwind_here(frames.data(), kFrames), kFrames));
      }
      LockOrderStep step = who;
      step.first = one.node->lock;
      step.first_taken = one.taken;
      step.second = node.lock;
      step.frames = frames;
      auto fresh = std::make_unique<Edge>(Edge{{},
                                               one.node,
                                               &node,
                                               incarnation_of(node),
                                               one.alone,
                                               alone,
                                               false,
                                               std::move(gates),
                                               std::move(step)});
      edge = fresh.get();
      out_[one.node].insert_or_assign(&node, std::move(fresh));  // all or nothing, if memory ends
    } else {
      bool const fewer_gates = keep_common(edge->gates, gates);
      changed = fewer_gates || (one.alone && !edge->from_alone) || (alone && !edge->to_alone);
      edge->from_alone |= one.alone;
      edge->to_alone |= alone;
    }
    if (changed) {
      try {
        look(*edge, report);
      } catch (...) {
        out_[one.node].erase(&node);  // it is looked at the next time
        throw;
      }
    }
  }
  return report;
}

OwnVector<LockOrderReport> LockOrder::take_writer(const OwnVector<HeldLock>& held,
                                                  const LockNode& node) {
  std::lock_guard const guard(lock_);
  OwnVector<LockOrderReport> reports;
  Gates gates = gates_of(held, held.size(), node);
  auto const [place, fresh] = writers_.try_emplace(&node);
  Writers& writers = place->second;
  if (fresh || writers.incarnation != incarnation_of(node)) {
    writers = {incarnation_of(node), std::move(gates), false};
  } else if (!keep_common(writers.gates, gates) && writers.looked_at) {
    return reports;
  }
  writers.looked_at = false;
  try {
    look_at_circles_of_readers(node, reports);
    writers.looked_at = true;
  } catch (const std::bad_alloc&) {  // then with the next one
    if (reports.empty()) {
      throw;
    }
  }
  return reports;
}

OwnVector<LockOrderStep> LockOrder::steps() {
  std::lock_guard const guard(lock_);
  OwnVector<LockOrderStep> all;
  for (const auto& [from, edges] : out_) {
    for (const auto& [to, edge] : edges) {
      if (stands(*edge)) {
        all.push_back(edge->step);
      }
    }
  }
  return all;
}

void LockOrder::forget(const LockNode& node) {
  std::lock_guard const guard(lock_);
  out_.erase(&node);
  writers_.erase(&node);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
