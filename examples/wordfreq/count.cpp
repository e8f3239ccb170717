// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "count.h"

#include <hamgam/go.h>
#include <hamgam/waitgroup.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

#include "files.h"
#include "progress.h"
#include "words.h"
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

// One goroutine walks, `jobs` others count, each into counts of its own, which are merged in the
// end. Whoever opens a file of several chunks puts the rest of it back before it counts its chunk:
// so each file is in the queue once, and one big file keeps all jobs busy.
class ParallelCount {
 public:
  ParallelCount(const std::vector<std::string>& paths, int jobs, Totals& totals)
      : paths_(paths), totals_(totals), counts_(static_cast<std::size_t>(jobs)) {}

  WordCounts run(bool show_progress) {
    hamgam::WaitGroup group;
    group.go([this] { find_files(); });
    for (WordCounts& counts : counts_) {
      group.go([this, &counts] { count_files(counts); });
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

  void count_files(WordCounts& counts) {
    Buffer buffer;
    while (auto work = queue_.pop()) {
      if (!interrupted.load()) {
        count_chunk(std::move(*work), counts, buffer);
      }
      queue_.done();
      hamgam::yield();  // the walk and the progress bar want to run too
    }
  }

  void count_chunk(Work work, WordCounts& counts, Buffer& buffer) {
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
      count_words(text.words, counts);
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

  // Each shard is gathered by a goroutine of its own.
  WordCounts merge() {
    hamgam::WaitGroup group;
    for (std::size_t shard = 0; shard < WordCounts::kShards; ++shard) {
      group.go([this, shard] {
        for (std::size_t i = 1; i < counts_.size(); ++i) {
          counts_[0].merge_shard(shard, counts_[i]);
        }
      });
    }
    group.wait();
    return std::move(counts_[0]);
  }

  const std::vector<std::string>& paths_;
  Totals& totals_;
  WorkQueue<Work> queue_;
  std::vector<WordCounts> counts_;  // one for each job
};

}  // namespace

Result count_parallel(const std::vector<std::string>& paths, int jobs, bool show_progress,
                      Totals& totals) {
  const auto start = SteadyClock::now();
  Result result{.counts = ParallelCount(paths, jobs, totals).run(show_progress)};
  result.elapsed = SteadyClock::now() - start;
  return result;
}

Result count_plain(const std::vector<std::string>& paths, Totals& totals) {
  const auto start = SteadyClock::now();
  Result result;
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
        count_words(text.words, result.counts);
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
  result.elapsed = SteadyClock::now() - start;
  return result;
}

}  // namespace wordfreq
