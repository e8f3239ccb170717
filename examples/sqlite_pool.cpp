// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// 1,000 goroutines each commit a transaction to an SQLite database in a file, in WAL mode: once
// through a ResourcePool of eight connections, once with a connection opened for each. SQLite
// blocks its thread, so each call is wrapped in blocking(). Every transaction must be there at the
// end.
#include <hamgam/hamgam.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

constexpr int kGoroutines = 1000;
constexpr int kConnections = 8;

// A connection to a database.
class Database {
 public:
  explicit Database(const std::string& path) {
    hamgam::blocking([&] {
      int const code = sqlite3_open(path.c_str(), &handle_);
      if (code == SQLITE_OK) {
        sqlite3_busy_timeout(handle_, 60'000);
        try {
          run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
          return;
        } catch (...) {
          sqlite3_close(handle_);
          throw;
        }
      }
      sqlite3_close(handle_);
      throw std::runtime_error(sqlite3_errstr(code));
    });
  }
  Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Database& operator=(Database&&) = delete;
  ~Database() {
    hamgam::blocking([this] { sqlite3_close(handle_); });
  }

  void execute(const std::string& sql) {
    hamgam::blocking([&] { run(sql); });
  }

  long long number(const std::string& sql) {
    return hamgam::blocking([&] {
      sqlite3_stmt* statement = nullptr;
      long long result = -1;
      if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK &&
          sqlite3_step(statement) == SQLITE_ROW) {
        result = sqlite3_column_int64(statement, 0);
      }
      sqlite3_finalize(statement);
      return result;
    });
  }

 private:
  void run(const std::string& sql) {
    char* message = nullptr;
    if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
      std::string const text = message != nullptr ? message : "unknown error";
      sqlite3_free(message);
      throw std::runtime_error(text);
    }
  }

  sqlite3* handle_ = nullptr;
};

// A database file for one run, gone afterwards.
class Scratch {
 public:
  Scratch() {
    std::string name =
        (std::filesystem::temp_directory_path() / "hamgam-sqlite-").string() + std::string(6, 'X');
    if (mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error("no temporary folder");
    }
    folder_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] std::string path() const { return folder_ / "accounts.db"; }

 private:
  std::filesystem::path folder_;
};

// One transaction: two rows that add up to nothing.
void transfer(Database& database, int i) {
  std::string const n = std::to_string(i);
  database.execute("BEGIN IMMEDIATE; INSERT INTO moves VALUES (" + n +
                   ", 1); INSERT INTO moves VALUES (" + n + ", -1); COMMIT");
}

// Runs move(i) in 1,000 goroutines and looks whether all is there.
void measure(const char* name, const Scratch& scratch, const std::function<void(int)>& move) {
  auto const begin = std::chrono::steady_clock::now();
  hamgam::WaitGroup group;
  for (int i = 0; i < kGoroutines; ++i) {
    group.go([&move, i] { move(i); });
  }
  group.wait();
  std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - begin;
  Database database(scratch.path());
  std::printf("%s: %lld transactions, sum %lld\n", name,
              database.number("SELECT COUNT(DISTINCT id) FROM moves WHERE "
                              "(SELECT COUNT(*) FROM moves m WHERE m.id = moves.id) = 2"),
              database.number("SELECT SUM(amount) FROM moves"));
  std::printf("(%s: %.0f ms)\n", name, took.count());
}

constexpr const char* kSchema = "CREATE TABLE moves (id INTEGER, amount INTEGER)";
constexpr const char* kIndex = "CREATE INDEX moves_by_id ON moves (id)";

}  // namespace

int main() {
  return hamgam::run([] {
    {
      Scratch const scratch;
      hamgam::ResourcePool<Database> pool([&scratch] { return Database(scratch.path()); },
                                          {.max_open = kConnections, .max_idle = kConnections});
      pool.acquire()->execute(kSchema);
      pool.acquire()->execute(kIndex);
      measure("With a pool of 8", scratch, [&pool](int i) { transfer(*pool.acquire(), i); });
      auto const stats = pool.stats();
      std::printf("(%zu connections were opened, %llu goroutines waited for one)\n", stats.open,
                  static_cast<unsigned long long>(stats.wait_count));
      if (stats.open > kConnections) {
        throw std::logic_error("more connections than allowed");
      }
    }
    {
      Scratch const scratch;
      Database first(scratch.path());
      first.execute(kSchema);
      first.execute(kIndex);
      // As many at a time as with the pool, but none is used again.
      hamgam::ResourcePool<char> turns([] { return '\0'; }, {.max_open = kConnections});
      measure("Without", scratch, [&](int i) {
        auto const turn = turns.acquire();
        Database database(scratch.path());
        transfer(database, i);
      });
    }
  });
}
