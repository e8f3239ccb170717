// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Finding files and reading them in chunks that begin and end between words.
#pragma once

#include <hamgam/atomic.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wordfreq {

inline constexpr std::size_t kChunk = 256 * 1024;  // with its table, a chunk fits the core's cache

// Calls for what walk() finds; each may be called many times.
struct Visitor {
  std::function<bool()> stopped;  // true ends the walk
  std::function<void(std::string path, std::uint64_t size)> file;
  std::function<void(const std::string& path)> link;
  std::function<void(const std::string& path)> special;  // a pipe, socket or device
  std::function<void(const std::string& path, std::string_view why)> failed;
};

// Reads standard input to its end, into memory: from then on the path "-" is a file with what was
// read. Throws std::system_error.
void keep_standard_input();

// Visits every regular file at or below `paths`. Symbolic links are not followed; pipes, sockets
// and devices are not read.
void walk(const std::vector<std::string>& paths, const Visitor& visit);

// A regular file open for reading; several goroutines may read it at once. What fails throws
// std::system_error.
class File {
 public:
  explicit File(std::string path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }  // when it was opened

  // Fills `into` from `offset`; returns less than its size only where the file ends.
  std::size_t read(std::uint64_t offset, std::span<char> into) const;

  // Whether there is a NUL in the first 8 KiB.
  [[nodiscard]] bool binary() const;

  // True for the first caller only: a file with many bad chunks is reported once.
  [[nodiscard]] bool first_failure() const { return !failed_.swap(true); }

 private:
  std::string path_;
  int fd_;
  std::uint64_t size_ = 0;
  mutable hamgam::Atomic<bool> failed_;
};

// The memory that one reader uses again and again.
using Buffer = std::vector<char>;

// What was read: whole words, in the reader's buffer.
struct Text {
  std::span<char> words;
  std::uint64_t bytes = 0;  // how much of the file it stands for
  bool cut_short = false;   // the file ended before the size it had
};

// Reads the chunk that begins at `offset`, a multiple of kChunk. Between chunks the text is cut
// after the first separator at the chunk's last byte or later, so every word is in one chunk. The
// chunk that holds the end of the file goes on to wherever the file ends by now.
[[nodiscard]] Text read_chunk(const File& file, std::uint64_t offset, Buffer& buffer);

// Reads a file from its begin to its end and hands over whole words piece by piece, until `use`
// returns false. Nothing here is shared with read_chunk(), so that one can check the other.
void read_all(const File& file, Buffer& buffer, const std::function<bool(Text)>& use);

}  // namespace wordfreq
