// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <system_error>

#include "words.h"

namespace wordfreq {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() { fs::create_directory(folder_); }
  ~Files() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, std::string_view text) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("wordfreq_files_test." + std::to_string(getpid()));
};

// All chunks together, and what read_all() gives: both have to be the text, but for what lies
// between words.
void expect_whole(const std::string& path, const std::string& text) {
  const File file(path);
  Buffer buffer;
  std::string chunks;
  std::uint64_t bytes = 0;
  for (std::uint64_t offset = 0; offset == 0 || offset < file.size(); offset += kChunk) {
    const Text chunk = read_chunk(file, offset, buffer);
    EXPECT_FALSE(chunk.cut_short);
    chunks.append(chunk.words.begin(), chunk.words.end());
    bytes += chunk.bytes;
  }
  EXPECT_TRUE(chunks == text) << "the chunks are not the text";
  EXPECT_EQ(bytes, text.size());

  std::string all;
  bytes = 0;
  read_all(file, buffer, [&](Text piece) {
    EXPECT_FALSE(piece.cut_short);
    all.append(piece.words.begin(), piece.words.end());
    bytes += piece.bytes;
    return true;
  });
  EXPECT_TRUE(all == text) << "read_all() does not give the text";
  EXPECT_EQ(bytes, text.size());
}

TEST_F(Files, chunks_are_the_whole_text) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kChunk - 1, kChunk, kChunk + 1,
                                 2 * kChunk - 1, 2 * kChunk, 2 * kChunk + 1, 5 * kChunk + 7}) {
    std::string text(size, 'x');
    expect_whole(write("one word", text), text);
    for (std::size_t i = 0; i < size; i += 7) {
      text[i] = ' ';
    }
    expect_whole(write("words", text), text);
    std::fill(text.begin(), text.end(), ' ');
    expect_whole(write("no word", text), text);
  }
}

TEST_F(Files, chunks_end_between_words) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    std::string text;
    const auto longest = std::size_t{1} << (1 + random() % 19);
    while (text.size() < 3 * kChunk) {
      text.append(random() % longest, "ab\xc3"[random() % 3]);
      text += " \n"[random() % 2];
    }
    expect_whole(write("text", text), text);

    const File file((folder_ / "text").string());
    Buffer buffer;
    for (std::uint64_t offset = 0; offset + kChunk < file.size(); offset += kChunk) {
      const auto words = read_chunk(file, offset, buffer).words;
      EXPECT_TRUE(words.empty() || is_separator(words.back())) << offset;
    }
  }
}

TEST_F(Files, shrinking) {
  const std::string path = write("text", std::string(2 * kChunk, ' '));
  const File file(path);
  Buffer buffer;
  fs::resize_file(path, kChunk + 10);
  EXPECT_FALSE(read_chunk(file, 0, buffer).cut_short);
  EXPECT_TRUE(read_chunk(file, kChunk, buffer).cut_short);
  fs::resize_file(path, 10);
  EXPECT_TRUE(read_chunk(file, 0, buffer).cut_short);
  const Text gone = read_chunk(file, kChunk, buffer);
  EXPECT_TRUE(gone.cut_short);
  EXPECT_TRUE(gone.words.empty());
  EXPECT_EQ(gone.bytes, 0U);
  bool cut_short = false;
  read_all(file, buffer, [&](Text piece) {
    cut_short = piece.cut_short;
    return true;
  });
  EXPECT_TRUE(cut_short);
  EXPECT_TRUE(file.first_failure());
  EXPECT_FALSE(file.first_failure());
}

TEST_F(Files, growing) {
  const std::string path = write("text", "one ");
  const File file(path);
  write("text", "one " + std::string(2 * kChunk, ' ') + "two");
  Buffer buffer;
  const Text text = read_chunk(file, 0, buffer);
  EXPECT_EQ(text.bytes, 2 * kChunk + 7);
  EXPECT_EQ(text.words.size(), 2 * kChunk + 7);
  EXPECT_FALSE(text.cut_short);
}

TEST_F(Files, binary) {
  std::string text(8193, 'x');
  EXPECT_FALSE(File(write("text", text)).binary());
  text[8192] = '\0';
  EXPECT_FALSE(File(write("late", text)).binary());
  text[8191] = '\0';
  EXPECT_TRUE(File(write("last", text)).binary());
  EXPECT_TRUE(File(write("early", std::string_view("a\0", 2))).binary());
  EXPECT_FALSE(File(write("empty", "")).binary());
}

TEST_F(Files, open_refuses) {
  EXPECT_THROW(File((folder_ / "none").string()), std::system_error);
  EXPECT_THROW(File(folder_.string()), std::system_error);
  fs::create_symlink(write("text", "x"), folder_ / "link");
  EXPECT_THROW(File((folder_ / "link").string()), std::system_error);
}

TEST_F(Files, walk) {
  fs::create_directories(folder_ / "deep" / "er");
  const std::string one = write("one", "1");
  const std::string two = write("deep/er/two", "22");
  fs::create_symlink("deep", folder_ / "link");
  const std::string gone = folder_ / "gone";

  std::vector<std::string> found;
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  std::vector<std::string> links;
  std::vector<std::string> special;
  std::vector<std::string> failed;
  std::uint64_t bytes = 0;
  Visitor visitor{.stopped = [] { return false; },
                  .file =
                      [&](const std::string& path, std::uint64_t size) {
                        found.push_back(path);
                        bytes += size;
                      },
                  .link = [&](const std::string& path) { links.push_back(path); },
                  .special = [&](const std::string& path) { special.push_back(path); },
                  .failed = [&](const std::string& path, auto) { failed.push_back(path); }};
  walk({folder_.string(), gone, one}, visitor);
  std::ranges::sort(found);
  EXPECT_EQ(found, (std::vector{two, one, one}));
  EXPECT_EQ(links, (std::vector{(folder_ / "link").string()}));
  EXPECT_EQ(special, (std::vector{(folder_ / "pipe").string()}));
  EXPECT_EQ(failed, (std::vector{gone}));
  EXPECT_EQ(bytes, 4U);

  found.clear();
  visitor.stopped = [] { return true; };
  walk({folder_.string()}, visitor);
  EXPECT_TRUE(found.empty());
}

}  // namespace
}  // namespace wordfreq
