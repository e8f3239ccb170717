// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Whole files, read and written in blocking(): the others go on meanwhile. (Go: os.ReadFile,
// os.WriteFile.)
//
//   std::string const text = file::read_all("/etc/hosts");
//   file::write_all("copy", text);
//
// From goroutines and plain threads alike. They block until the file system has answered, and count
// to max_blocking() meanwhile. What fails throws std::system_error ("open copy: Permission
// denied"), or fills an std::error_code; std::bad_alloc if there is no memory for what is read.
// Several reads and writes of one file are not kept apart from each other. Nothing is ordered by
// what is in a file.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>

#include "hamgam/detail/config.h"
#include "hamgam/detail/deadline.h"

namespace hamgam::inline HAMGAM_ABI {

namespace file {

namespace detail {
HAMGAM_API std::optional<std::string> read_limited(const std::filesystem::path& path,
                                                   std::int64_t deadline,
                                                   const std::stop_token* token);
}  // namespace detail

// All that is in the file, to its end: also of such as tell no size (/proc), and of a named pipe
// until its writers have closed it.
[[nodiscard]] HAMGAM_API std::string read_all(const std::filesystem::path& path);
// On failure: what was read before it.
[[nodiscard]] HAMGAM_API std::string read_all(const std::filesystem::path& path,
                                              std::error_code& e);

// Nothing: it gave up. The thread that reads goes on until the file system answers. A time point of
// another clock than Clock is looked at once, when the call begins.
template <class R, class P>
[[nodiscard]] std::optional<std::string> read_all_for(const std::filesystem::path& path,
                                                      const std::chrono::duration<R, P>& d) {
  return detail::read_limited(path, hamgam::detail::deadline_after(d), nullptr);
}
template <class C, class D>
[[nodiscard]] std::optional<std::string> read_all_until(const std::filesystem::path& path,
                                                        const std::chrono::time_point<C, D>& t) {
  return detail::read_limited(path, hamgam::detail::deadline_at(t), nullptr);
}
[[nodiscard]] inline std::optional<std::string> read_all(const std::filesystem::path& path,
                                                         const std::stop_token& token) {
  return detail::read_limited(path, hamgam::detail::kNoDeadline, &token);
}

// Makes the file, or empties it, and writes that. A new one may be read and written by all whom the
// umask leaves. It can't be given up: nobody could tell what would be in the file.
HAMGAM_API void write_all(const std::filesystem::path& path, std::span<const std::byte> bytes);
// The bytes that were written, also on failure.
HAMGAM_API std::size_t write_all(const std::filesystem::path& path,
                                 std::span<const std::byte> bytes, std::error_code& e);

inline void write_all(const std::filesystem::path& path, std::string_view text) {
  write_all(path, std::as_bytes(std::span(text.data(), text.size())));
}
inline std::size_t write_all(const std::filesystem::path& path, std::string_view text,
                             std::error_code& e) {
  return write_all(path, std::as_bytes(std::span(text.data(), text.size())), e);
}

}  // namespace file
}  // namespace hamgam::inline HAMGAM_ABI
