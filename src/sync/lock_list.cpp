// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sync/lock_list.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "sync/lock_node.h"

namespace hamgam::inline HAMGAM_ABI::detail {

std::vector<LockInfo> locks_in_use() {
  if (!are_locks_watched()) {
    return {};
  }
  TsanIgnore const ignore;  // others go on
  std::unordered_map<const LockNode*, std::vector<LockInfo::Waiter>> waiting;
  for (const LockHolder* who = first_holder(); who != nullptr; who = who->next_of_all) {
    std::uint64_t const wait = who->wait.load(kAcquire);  // [watch.2] acquire, pairs with [watch.3]
    if (wait % 2 != 0) {
      // relaxed: published by the number
      waiting[who->lock.load(kRelaxed)].push_back({who->goroutine, who->thread});
    }
  }
  std::vector<LockInfo> all;
  OwnVector<LockInfo::Holder> holders;
  for (LockNode* node = first_node(); node != nullptr; node = node->next_of_all) {
    LockInfo info;
    info.lock = node->lock;
    holders.clear();
    {
      // Whose they are, too: a holder that has none any more is soon another one's.
      std::lock_guard const guard(node->guard);
      // relaxed: a glance
      if (const LockHolder* const owner = node->owner.load(kRelaxed)) {
        holders.push_back({owner->goroutine, owner->thread, false, node->taken});
      }
      for (const LockNode::Reader& reader : node->readers) {
        holders.push_back({reader.who->goroutine, reader.who->thread, true, reader.taken});
      }
    }
    info.holders.assign(holders.begin(), holders.end());
    if (auto const found = waiting.find(node); found != waiting.end()) {
      info.waiters = std::move(found->second);
    }
    if (!info.holders.empty() || !info.waiters.empty()) {
      all.push_back(std::move(info));
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const LockInfo& a, const LockInfo& b) {
    return a.waiters.size() > b.waiters.size();
  });
  return all;
}

std::vector<LockOrderInfo> lock_orders() {
  if (!are_locks_watched()) {
    return {};
  }
  TsanIgnore const ignore;  // the graph's own lock is not seen
  std::vector<LockOrderInfo> all;
  for (const LockOrderStep& step : order().steps()) {
    all.push_back({step.first, step.second, {step.frames.begin(), step.frames.end()}});
  }
  return all;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
