// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "common_words.h"

namespace wordfreq {
namespace {

double megabytes_per_second(std::int64_t bytes, std::chrono::duration<double> elapsed) {
  return static_cast<double>(bytes) / 1e6 / std::max(elapsed.count(), 1e-9);
}

double megabytes_per_second(const Report& report) {
  return megabytes_per_second(report.totals.bytes.value(), report.elapsed);
}

double speed_up(const Report& report) {
  return megabytes_per_second(report) /
         std::max(megabytes_per_second(report.check->bytes, report.check->elapsed), 1e-9);
}

std::vector<WordTable::Entry> top_words(const Report& report) {
  if (!report.skip_common) {
    return report.counts.top(report.top);
  }
  const auto& common = common_words();
  // At worst all of them are ahead of those that are wanted.
  auto words = report.counts.top(report.top + std::min(common.size(), SIZE_MAX - report.top));
  std::erase_if(words, [&](const WordTable::Entry& entry) { return common.contains(entry.word); });
  words.resize(std::min(report.top, words.size()));
  return words;
}

std::string_view plural(std::int64_t n) { return n == 1 ? "" : "s"; }

}  // namespace

std::string as_text(const Report& report) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const auto& entry : top_words(report)) {
    fmt::format_to(out, "{:>12}  {}\n", entry.count, entry.word);
  }
  const Totals& totals = report.totals;
  fmt::format_to(out, "{} words, {} different, in {} text file{} of {:.1f} MB\n",
                 report.counts.words(), report.counts.distinct(), totals.files.value(),
                 plural(totals.files.value()), static_cast<double>(totals.bytes.value()) / 1e6);
  fmt::format_to(out, "Left out: {} binary, {} symbolic link{}, {} special, {} unreadable\n",
                 totals.binary.value(), totals.links.value(), plural(totals.links.value()),
                 totals.special.value(), totals.failed.value());
  fmt::format_to(out, "{:.3f} s, {:.1f} MB/s with {} job{}\n", report.elapsed.count(),
                 megabytes_per_second(report), report.jobs, plural(report.jobs));
  if (report.check) {
    fmt::format_to(out, "Check: the plain loop {}; {:.3f} s, {:.1f} MB/s; speed-up {:.2f}\n",
                   report.check->agrees ? "agrees" : "DIFFERS", report.check->elapsed.count(),
                   megabytes_per_second(report.check->bytes, report.check->elapsed),
                   speed_up(report));
  }
  if (report.interrupted) {
    text += "Interrupted: this is what was counted so far\n";
  }
  return text;
}

// Words need no escapes: they are letters and digits only, in valid UTF-8.
std::string as_json(const Report& report) {
  std::string text = "{\"top\": [";
  const auto out = std::back_inserter(text);
  std::string_view comma;
  for (const auto& entry : top_words(report)) {
    fmt::format_to(out, R"({}{{"word": "{}", "count": {}}})", comma, entry.word, entry.count);
    comma = ", ";
  }
  const Totals& totals = report.totals;
  fmt::format_to(out, R"(], "words": {}, "distinct": {}, "files": {}, "bytes": {}, )",
                 report.counts.words(), report.counts.distinct(), totals.files.value(),
                 totals.bytes.value());
  fmt::format_to(out, R"("binary": {}, "links": {}, "special": {}, "unreadable": {}, )",
                 totals.binary.value(), totals.links.value(), totals.special.value(),
                 totals.failed.value());
  fmt::format_to(out, R"("jobs": {}, "seconds": {:.6f}, "mb_per_second": {:.3f}, )", report.jobs,
                 report.elapsed.count(), megabytes_per_second(report));
  if (report.check) {
    fmt::format_to(out, R"("check": {{"agrees": {}, "seconds": {:.6f}, "speed_up": {:.3f}}}, )",
                   report.check->agrees, report.check->elapsed.count(), speed_up(report));
  }
  fmt::format_to(out, R"("interrupted": {}}})", report.interrupted);
  text += '\n';
  return text;
}

}  // namespace wordfreq
