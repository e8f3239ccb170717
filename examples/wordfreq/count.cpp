// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "count.h"

#include <hamgam/go.h>
#include <hamgam/guarded.h>
#include <hamgam/waitgroup.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "files.h"
#include "progress.h"
#include "work_queue.h"

namespace wordfreq {

hamgam::Atomic<bool> interrupted;

namespace {

using SteadyClock = std::chrono::steady_clock;

std::size_t shard_of(std::uint64_t hash, std::size_t shards) {
  return (hash >> 32) * shards >> 32;
}

// A file that nobody has opened yet, or the rest of one.
struct Work {
  std::string path;
  std::shared_ptr<const File> file;
  std::uint64_t offset = 0;
};

// One goroutine walks, `jobs` others count, each into a table of its own. Whoever opens a file of
// several chunks puts the rest of it back before it counts its chunk: so each file is in the queue
// once, and one big file keeps all jobs busy.
class ParallelCount {
 public:
  ParallelCount(const std::vector<std::string>& paths, int jobs, Totals& totals)
      : paths_(paths), totals_(totals), tables_(static_cast<std::size_t>(jobs)) {}

  Counts run(bool show_progress) {
    hamgam::WaitGroup group;
    group.go([this] { find_files(); });
    for (WordTable& table : tables_) {
      group.go([this, &table] { count_files(table); });
    }
    Progress progress(totals_, show_progress);
    if (show_progress) {
      while (!group.wait_for(Progress::kPeriod)) {
        progress.draw();
      }
    }
    group.wait();
    progress.clear();
    return merge();
  }

 private:
  void find_files() {
    walk(paths_, {.stopped = [] { return interrupted.load(); },
                  .file =
                      [this](std::string path, std::uint64_t size) {
                        totals_.found_files.add();
                        totals_.found_bytes.add(static_cast<std::int64_t>(size));
                        queue_.push({std::move(path), nullptr, 0});
                      },
                  .link = [this](const std::string&) { totals_.links.add(); },
                  .failed = [this](const auto& path, auto why) { failed(path, why); }});
    totals_.found_all.store(true);
    queue_.close();
  }

  void count_files(WordTable& table) {
    Buffer buffer;
    while (auto work = queue_.pop()) {
      if (!interrupted.load()) {
        count_chunk(std::move(*work), table, buffer);
      }
      queue_.done();
      hamgam::yield();  // the walk and the progress bar want to run too
    }
  }

  void count_chunk(Work work, WordTable& table, Buffer& buffer) {
    try {
      if (work.file == nullptr && !open(work)) {
        return;
      }
      const File& file = *work.file;
      if (file.size() > kChunk && work.offset < file.size() - kChunk) {
        queue_.put_back({work.path, work.file, work.offset + kChunk});
      } else {
        totals_.done_files.add();
      }
      const Text text = read_chunk(file, work.offset, buffer);
      count_words(text.words, table);
      totals_.bytes.add(static_cast<std::int64_t>(text.bytes));
      if (text.cut_short && file.first_failure()) {
        failed(file.path(), "it shrank while being read");
      }
    } catch (const std::system_error& error) {
      if (work.file == nullptr || work.file->first_failure()) {
        failed(work.path, error.what());
      }
    }
  }

  // False if there is nothing to count in it.
  bool open(Work& work) {
    auto file = std::make_shared<const File>(work.path);
    if (file->binary()) {
      totals_.binary.add();
      totals_.done_files.add();
      return false;
    }
    totals_.files.add();
    work.file = std::move(file);
    return true;
  }

  void failed(const std::string& path, std::string_view why) {
    totals_.failed.add();
    complain(path, why);
  }

  // Each goroutine gathers one shard from all tables.
  Counts merge() {
    Counts counts;
    if (tables_.size() == 1) {
      counts.shards = std::move(tables_);
      return counts;
    }
    counts.shards.resize(tables_.size());
    hamgam::WaitGroup group;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      group.go([this, &counts, i] {
        for (const WordTable& table : tables_) {
          for (const auto& entry : table.entries()) {
            if (shard_of(entry.hash, tables_.size()) == i) {
              counts.shards[i].add(entry.word, entry.hash, entry.count);
            }
          }
        }
      });
    }
    group.wait();
    return counts;
  }

  const std::vector<std::string>& paths_;
  Totals& totals_;
  std::vector<WordTable> tables_;  // one for each job
  WorkQueue<Work> queue_;
};

}  // namespace

std::uint64_t Counts::words() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards) {
    for (const auto& entry : shard.entries()) {
      sum += entry.count;
    }
  }
  return sum;
}

std::uint64_t Counts::distinct() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards) {
    sum += shard.entries().size();
  }
  return sum;
}

std::vector<WordTable::Entry> Counts::top(std::size_t n) const {
  const auto before = [](const WordTable::Entry& a, const WordTable::Entry& b) {
    return a.count != b.count ? a.count > b.count : a.word < b.word;
  };
  std::vector<WordTable::Entry> best;
  for (const auto& shard : shards) {
    const std::size_t kept = best.size();
    const auto& entries = shard.entries();
    best.resize(kept + std::min(n, entries.size()));
    std::partial_sort_copy(entries.begin(), entries.end(),
                           best.begin() + static_cast<std::ptrdiff_t>(kept), best.end(), before);
  }
  std::sort(best.begin(), best.end(), before);
  best.resize(std::min(n, best.size()));
  return best;
}

bool operator==(const Counts& a, const Counts& b) {
  if (a.distinct() != b.distinct()) {
    return false;
  }
  return std::ranges::all_of(a.shards, [&](const WordTable& shard) {
    return std::ranges::all_of(shard.entries(), [&](const WordTable::Entry& entry) {
      const auto& other = b.shards[shard_of(entry.hash, b.shards.size())];
      return other.count(entry.word, entry.hash) == entry.count;
    });
  });
}

Counts count_parallel(const std::vector<std::string>& paths, int jobs, bool show_progress,
                      Totals& totals) {
  const auto start = SteadyClock::now();
  Counts counts = ParallelCount(paths, jobs, totals).run(show_progress);
  counts.elapsed = SteadyClock::now() - start;
  return counts;
}

Counts count_plain(const std::vector<std::string>& paths, Totals& totals) {
  const auto start = SteadyClock::now();
  Counts counts;
  WordTable& table = counts.shards.emplace_back();
  Buffer buffer;
  const auto count_file = [&](const std::string& path, std::uint64_t) {
    try {
      const File file(path);
      if (file.binary()) {
        totals.binary.add();
        return;
      }
      totals.files.add();
      read_all(file, buffer, [&](Text text) {
        count_words(text.words, table);
        totals.bytes.add(static_cast<std::int64_t>(text.bytes));
        return !interrupted.load();
      });
    } catch (const std::system_error&) {
      totals.failed.add();
    }
  };
  walk(paths, {.stopped = [] { return interrupted.load(); },
               .file = count_file,
               .link = [&](const std::string&) { totals.links.add(); },
               .failed = [&](const std::string&, std::string_view) { totals.failed.add(); }});
  counts.elapsed = SteadyClock::now() - start;
  return counts;
}

}  // namespace wordfreq
