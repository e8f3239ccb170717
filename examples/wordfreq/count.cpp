// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "count.h"

#include <hamgam/chan.h>
#include <hamgam/go.h>
#include <hamgam/pool.h>
#include <hamgam/select.h>
#include <hamgam/waitgroup.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "files.h"
#include "progress.h"
#include "words.h"

namespace wordfreq {
namespace {

using SteadyClock = std::chrono::steady_clock;

bool cancelled(const hamgam::Context& ctx) noexcept { return static_cast<bool>(ctx.err()); }

// So many paths the walk may be ahead: enough for the progress bar to know what is to come.
constexpr std::size_t kPathsAhead = 65536;

struct Found {
  std::string path;
  std::int64_t size = 0;
};

// A part of a file that somebody has opened.
struct Chunk {
  std::shared_ptr<const File> file;
  std::uint64_t offset = 0;
};

// One goroutine walks and sends paths; `jobs` others receive them and count, each into counts of
// its own, which are merged in the end. Whoever opens a file of several chunks sends them to the
// others, so that one big file keeps all jobs busy, and counts itself those for which there is no
// room: so nobody ever waits for others to take a chunk, and few files are open at once.
class ParallelCount {
 public:
  ParallelCount(hamgam::Context ctx, const std::vector<std::string>& paths, int jobs,
                Totals& totals)
      : ctx_(std::move(ctx)),
        paths_(paths),
        totals_(totals),
        chunks_(hamgam::make_chan<Chunk>(2 * static_cast<std::size_t>(jobs))),
        openers_(jobs),
        counts_(static_cast<std::size_t>(jobs)) {}

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
    walk(paths_, {.stopped = [this] { return cancelled(ctx_); },
                  .file =
                      [this](std::string path, std::uint64_t size) {
                        const Found found{std::move(path), static_cast<std::int64_t>(size)};
                        totals_.found_files.add();
                        totals_.found_bytes.add(found.size);
                        hamgam::select(hamgam::on_send(files_, found),
                                       hamgam::on_recv(ctx_.done()));
                      },
                  .link = [this](const std::string&) { totals_.links.add(); },
                  .special = [this](const std::string&) { totals_.special.add(); },
                  .failed = [this](const auto& path, auto why) { failed(path, why); }});
    totals_.found_all.store(true);
    files_.close();
  }

  // Until there are neither files nor chunks any more. Chunks come only from those who open files:
  // the last of them to see the end of the files closes the chunks as well.
  void count_files(WordCounts& counts) {
    const auto done = ctx_.done();
    hamgam::RecvChan<Found> files = files_;
    bool more = true;
    const auto on_file = [&](std::optional<Found> found) {
      if (found) {
        count_file(*found, counts);
        return;
      }
      files = {};  // the nil channel, which is never ready
      if (openers_.add(-1) == 0) {
        chunks_.close();
      }
    };
    const auto on_chunk = [&](std::optional<Chunk> chunk) {
      more = chunk.has_value();
      if (more) {
        count_chunk(*chunk, counts);
      }
    };
    while (more && !cancelled(ctx_)) {
      hamgam::select(hamgam::on_recv(files, on_file), hamgam::on_recv(chunks_, on_chunk),
                     hamgam::on_recv(done));
    }
  }

  void count_file(const Found& found, WordCounts& counts) {
    try {
      auto file = std::make_shared<const File>(found.path);
      if (file->binary()) {
        totals_.binary.add();
        totals_.done_bytes.add(found.size);
      } else {
        totals_.files.add();
        share_out(std::move(file), counts);
      }
    } catch (const std::system_error& error) {
      failed(found.path, error.what());
      totals_.done_bytes.add(found.size);
    }
    totals_.done_files.add();
  }

  void share_out(std::shared_ptr<const File> file, WordCounts& counts) {
    Chunk chunk{std::move(file)};
    for (; chunk.file->size() - chunk.offset > kChunk && !cancelled(ctx_); chunk.offset += kChunk) {
      if (!chunks_.try_send(chunk)) {
        count_chunk(chunk, counts);
      }
    }
    count_chunk(chunk, counts);
  }

  void count_chunk(const Chunk& chunk, WordCounts& counts) {
    const File& file = *chunk.file;
    try {
      const auto buffer = buffers_.get();
      const Text text = read_chunk(file, chunk.offset, *buffer);
      count_words(text.words, counts);
      totals_.bytes.add(static_cast<std::int64_t>(text.bytes));
      if (text.cut_short && file.first_failure()) {
        failed(file.path(), "it shrank while being read");
      }
    } catch (const std::system_error& error) {
      if (file.first_failure()) {
        failed(file.path(), error.what());
      }
    }
    totals_.done_bytes.add(
        static_cast<std::int64_t>(std::min<std::uint64_t>(kChunk, file.size() - chunk.offset)));
    hamgam::yield();  // the walk and the progress bar want to run too
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

  const hamgam::Context ctx_;
  const std::vector<std::string>& paths_;
  Totals& totals_;
  const hamgam::Chan<Found> files_ = hamgam::make_chan<Found>(kPathsAhead);
  const hamgam::Chan<Chunk> chunks_;
  hamgam::Atomic<int> openers_;  // jobs that have not seen the end of files_
  hamgam::Pool<Buffer> buffers_;
  std::vector<WordCounts> counts_;  // one for each job
};

}  // namespace

Result count_parallel(const hamgam::Context& ctx, const std::vector<std::string>& paths, int jobs,
                      bool show_progress, Totals& totals) {
  const auto start = SteadyClock::now();
  Result result{.counts = ParallelCount(ctx, paths, jobs, totals).run(show_progress)};
  result.elapsed = SteadyClock::now() - start;
  return result;
}

Result count_plain(const hamgam::Context& ctx, const std::vector<std::string>& paths,
                   Totals& totals) {
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
        return !cancelled(ctx);
      });
    } catch (const std::system_error&) {
      totals.failed.add();
    }
  };
  walk(paths, {.stopped = [&] { return cancelled(ctx); },
               .file = count_file,
               .link = [&](const std::string&) { totals.links.add(); },
               .special = [&](const std::string&) { totals.special.add(); },
               .failed = [&](const std::string&, std::string_view) { totals.failed.add(); }});
  result.elapsed = SteadyClock::now() - start;
  return result;
}

}  // namespace wordfreq
