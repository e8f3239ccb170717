// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/global_queue.h"

#include <algorithm>
#include <mutex>
#include <new>

namespace hamgam::inline HAMGAM_ABI::detail {

void GlobalQueue::push(Goroutine* g) noexcept {
  std::lock_guard const guard(lock_);
  singles_.push(g);
  ++single_count_;
  resize(1);
}

void GlobalQueue::append(IntrusiveQueue<Goroutine>& singles, std::size_t count) noexcept {
  std::lock_guard const guard(lock_);
  singles_.append(singles);
  single_count_ += count;
  resize(static_cast<std::ptrdiff_t>(count));
}

void GlobalQueue::append_batch(Goroutine* const* items, std::size_t count) noexcept {
  TsanIgnore const ignore;
  lock_.lock();
  Batch* batch = unused_;
  if (batch != nullptr) {
    unused_ = batch->older;
    --unused_count_;
  } else {
    lock_.unlock();
    batch = new (std::nothrow) Batch;
    lock_.lock();
  }
  if (batch != nullptr) {
    std::copy_n(items, count, batch->items);
    batch->first = 0;
    batch->end = count;
    batch->newer = nullptr;
    batch->older = newest_;
    (newest_ != nullptr ? newest_->newer : oldest_) = batch;
    newest_ = batch;
  } else {
    std::for_each_n(items, count, [this](Goroutine* g) { singles_.push(g); });
    single_count_ += count;
  }
  resize(static_cast<std::ptrdiff_t>(count));
  lock_.unlock();
}

std::size_t GlobalQueue::pop(Goroutine** items, std::size_t sharers) noexcept {
  if (empty()) {
    return 0;
  }
  TsanIgnore const ignore;
  std::size_t count = 0;
  Batch* surplus = nullptr;
  lock_.lock();
  if (is_batches_turn()) {
    count = newest_->end - newest_->first;
    std::copy_n(newest_->items + newest_->first, count, items);
    surplus = unlink(newest_);
  } else {
    std::size_t const share = std::min(single_count_ / sharers + 1, kBatch);
    while (count < share) {
      Goroutine* g = singles_.pop();
      if (g == nullptr) {
        break;
      }
      items[count++] = g;
    }
    single_count_ -= count;
  }
  resize(-static_cast<std::ptrdiff_t>(count));
  lock_.unlock();
  delete surplus;
  return count;
}

Goroutine* GlobalQueue::pop_oldest() noexcept {
  if (empty()) {
    return nullptr;
  }
  TsanIgnore const ignore;
  Goroutine* g = nullptr;
  Batch* surplus = nullptr;
  lock_.lock();
  if (is_batches_turn()) {
    g = oldest_->items[oldest_->first++];
    if (oldest_->first == oldest_->end) {
      surplus = unlink(oldest_);
    }
  } else if ((g = singles_.pop()) != nullptr) {
    --single_count_;
  }
  if (g != nullptr) {
    resize(-1);
  }
  lock_.unlock();
  delete surplus;
  return g;
}

// Of two kinds that wait, the one that was not served last.
bool GlobalQueue::is_batches_turn() noexcept {
  batches_turn_ = newest_ != nullptr && (!batches_turn_ || singles_.empty());
  return batches_turn_;
}

// Takes an empty batch out; returns what is to be deleted, if anything, once lock_ is free.
GlobalQueue::Batch* GlobalQueue::unlink(Batch* batch) noexcept {
  (batch->newer != nullptr ? batch->newer->older : newest_) = batch->older;
  (batch->older != nullptr ? batch->older->newer : oldest_) = batch->newer;
  if (unused_count_ == kMostUnused) {
    return batch;
  }
  batch->older = unused_;
  unused_ = batch;
  ++unused_count_;
  return nullptr;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
