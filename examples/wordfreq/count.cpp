// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "count.h"

#include <hamgam/go.h>
#include <hamgam/guarded.h>
#include <hamgam/waitgroup.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "files.h"
#include "progress.h"
#include "work_queue.h"

namespace wordfreq {

hamgam::Atomic<bool> interrupted;

namespace {

using SteadyClock = std::chrono::steady_clock;

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
      : paths_(paths), jobs_(jobs), totals_(totals) {}

  WordTable run(bool show_progress) {
    hamgam::WaitGroup group;
    group.go([this] { find_files(); });
    for (int i = 0; i < jobs_; ++i) {
      group.go([this] { count_files(); });
    }
    Progress progress(totals_, show_progress);
    if (show_progress) {
      while (!group.wait_for(Progress::kPeriod)) {
        progress.draw();
      }
    }
    group.wait();
    progress.clear();
    return std::move(**result_.lock());
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

  void count_files() {
    WordTable table;
    Buffer buffer;
    while (auto work = queue_.pop()) {
      if (!interrupted.load()) {
        count_chunk(std::move(*work), table, buffer);
      }
      queue_.done();
      hamgam::yield();  // the walk and the progress bar want to run too
    }
    hand_in(std::move(table));
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

  // The sum of all tables grows from hand to hand: whoever finds one here takes it and adds it to
  // his own; whoever finds none leaves his and goes. So two of them merge while others still count.
  void hand_in(WordTable table) {
    for (;;) {
      std::optional<WordTable> other;
      {
        auto result = result_.lock();
        if (!result->has_value()) {
          *result = std::move(table);
          return;
        }
        other = std::exchange(*result, std::nullopt);
      }
      table.merge(std::move(*other));
    }
  }

  const std::vector<std::string>& paths_;
  const int jobs_;
  Totals& totals_;
  WorkQueue<Work> queue_;
  hamgam::Guarded<std::optional<WordTable>> result_;
};

}  // namespace

std::uint64_t Counts::words() const {
  std::uint64_t sum = 0;
  for (const auto& entry : table.entries()) {
    sum += entry.count;
  }
  return sum;
}

std::vector<WordTable::Entry> Counts::top(std::size_t n) const {
  const auto& entries = table.entries();
  std::vector<WordTable::Entry> best(std::min(n, entries.size()));
  std::ranges::partial_sort_copy(
      entries, best, [](const WordTable::Entry& a, const WordTable::Entry& b) {
        return a.count != b.count ? a.count > b.count : a.word < b.word;
      });
  return best;
}

bool operator==(const Counts& a, const Counts& b) {
  return a.distinct() == b.distinct() &&
         std::ranges::all_of(a.table.entries(), [&](const WordTable::Entry& entry) {
           return b.table.count(entry.word, entry.hash) == entry.count;
         });
}

Counts count_parallel(const std::vector<std::string>& paths, int jobs, bool show_progress,
                      Totals& totals) {
  const auto start = SteadyClock::now();
  Counts counts{.table = ParallelCount(paths, jobs, totals).run(show_progress)};
  counts.elapsed = SteadyClock::now() - start;
  return counts;
}

Counts count_plain(const std::vector<std::string>& paths, Totals& totals) {
  const auto start = SteadyClock::now();
  Counts counts;
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
        count_words(text.words, counts.table);
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
