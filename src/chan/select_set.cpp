// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <utility>

#include "hamgam/select.h"

namespace hamgam::inline HAMGAM_ABI {

SelectSet::SelectSet() = default;
SelectSet::~SelectSet() = default;

SelectSet::SelectSet(SelectSet&& other) noexcept
    : slots_(std::move(other.slots_)),
      gone_(std::exchange(other.gone_, 0)),
      ops_(std::move(other.ops_)),
      next_key_(other.next_key_) {}

SelectSet& SelectSet::operator=(SelectSet&& other) noexcept {
  if (this != &other) {
    slots_ = std::move(other.slots_);
    gone_ = std::exchange(other.gone_, 0);
    ops_ = std::move(other.ops_);
    next_key_ = other.next_key_;
  }
  return *this;
}

SelectSet::Key SelectSet::add_case(std::unique_ptr<Entry> entry) {
  slots_.push_back(Slot{next_key_, std::move(entry)});
  return next_key_++;
}

std::vector<SelectSet::Slot>::iterator SelectSet::find(Key key) noexcept {
  auto const slot = std::lower_bound(slots_.begin(), slots_.end(), key,
                                     [](const Slot& a, Key b) { return a.key < b; });
  return slot != slots_.end() && slot->key == key && !slot->gone ? slot : slots_.end();
}

// Those that were removed are taken out together: once there are more of them than of others, and
// before a wait, which looks at all anyway.
void SelectSet::remove(Key key) noexcept {
  auto const slot = find(key);
  if (slot == slots_.end()) {
    return;
  }
  auto const doomed = std::move(slot->entry);  // destroyed last: what it owns may use the set
  slot->gone = true;
  if (++gone_ > slots_.size() / 2) {
    close_gaps();
  }
}

void SelectSet::close_gaps() noexcept {
  std::erase_if(slots_, [](const Slot& slot) { return slot.gone; });
  gone_ = 0;
}

std::size_t SelectSet::size() const noexcept { return slots_.size() - gone_; }

SelectSet::Key SelectSet::wait() { return *wait_with(detail::kNoDeadline, nullptr); }

std::optional<SelectSet::Key> SelectSet::wait(const std::stop_token& token) {
  if (auto const key = wait_with(0, nullptr)) {
    return key;  // only a wait that would have to wait looks at the token
  }
  return wait_with(detail::kNoDeadline, &token);
}

std::optional<SelectSet::Key> SelectSet::wait_deadline(std::int64_t deadline) {
  return wait_with(deadline, nullptr);
}

std::optional<SelectSet::Key> SelectSet::wait_with(std::int64_t deadline,
                                                   const std::stop_token* token) {
  if (gone_ != 0) {
    close_gaps();
  }
  ops_.clear();
  detail::SelectLimit limit;
  for (std::size_t place = 0; place < slots_.size(); ++place) {
    Entry* const entry = slots_[place].entry.get();
    ops_.push_back(entry != nullptr ? entry->op() : detail::SelectOp());
    if (entry != nullptr) {
      limit.consider(entry->patience(), place);
    }
  }
  if (token != nullptr) {
    ops_.emplace_back(*token);
  }
  std::int64_t const own = limit.deadline();
  std::size_t chosen = detail::select_ops(ops_.data(), ops_.size(), std::min(deadline, own));
  if (chosen == detail::kSelectGaveUp && own <= deadline) {
    chosen = limit.place;
  }
  if (chosen >= slots_.size()) {
    return std::nullopt;
  }
  return run(chosen, ops_[chosen].waiter.done);
}

// The case is out of the set while its function runs, which may remove it, or anything else.
SelectSet::Key SelectSet::run(std::size_t place, bool done) {
  Key const key = slots_[place].key;
  std::unique_ptr<Entry> entry = std::move(slots_[place].entry);
  if (entry->once()) {
    remove(key);
    entry->run(done);
    return key;
  }
  struct PutBack {
    SelectSet* set;
    Key key;
    std::unique_ptr<Entry>* entry;
    ~PutBack() {
      if (auto const slot = set->find(key); slot != set->slots_.end()) {
        slot->entry = std::move(*entry);
      }
    }
  } const put_back{this, key, &entry};
  entry->run(done);
  return key;
}

}  // namespace hamgam::inline HAMGAM_ABI
