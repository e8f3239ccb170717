// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Clients that know nothing of goroutines, used as they are: libpq's PQexec, SQLite, getaddrinfo.
// Their calls block the thread, thirty at a time here, and what they wait for comes from another
// goroutine: so if they held up the others, nothing would ever come. In blocking() another worker
// takes over at once; without a word it does so after some 10 ms, when the blocked one is noticed.
//
//   blocking_clients CONNINFO
#include <hamgam/hamgam.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;

constexpr int kClients = 30;
constexpr int kRounds = 1000;

// How a call that blocks is made.
using Call = std::function<void(const std::function<void()>&)>;

struct Way {
  const char* name;
  Call call;
};

// A connection to PostgreSQL, by libpq's blocking functions.
class Postgres {
 public:
  explicit Postgres(const std::string& conninfo) : handle_(PQconnectdb(conninfo.c_str())) {
    if (PQstatus(handle_.get()) != CONNECTION_OK) {
      throw std::runtime_error(PQerrorMessage(handle_.get()));
    }
  }

  // The first field of the result.
  std::string execute(const char* sql) {
    std::unique_ptr<PGresult, Finish> const result(PQexec(handle_.get(), sql));
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
      throw std::runtime_error(PQerrorMessage(handle_.get()));
    }
    return PQgetvalue(result.get(), 0, 0);
  }

 private:
  struct Finish {
    void operator()(PGconn* handle) const { PQfinish(handle); }
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGconn, Finish> handle_;
};

// A connection to an SQLite database, which waits for others' transactions for a minute.
class Sqlite {
 public:
  explicit Sqlite(const std::string& path) {
    sqlite3* handle = nullptr;
    int const code = sqlite3_open(path.c_str(), &handle);
    handle_.reset(handle);
    if (code != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errstr(code));
    }
    sqlite3_busy_timeout(handle, 60'000);
  }

  void execute(const char* sql) {
    if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(handle_.get()));
    }
  }

  [[nodiscard]] long long changes() const { return sqlite3_total_changes(handle_.get()); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close(handle); }
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

// Two goroutines and a value that goes to and fro between them.
void play_ping_pong() {
  auto const there = hamgam::make_chan<int>();
  auto const back = hamgam::make_chan<int>();
  hamgam::go([there, back] {
    for (int n : there) {
      back.send(n + 1);
    }
  });
  int n = 0;
  while (n < kRounds) {
    there.send(n);
    n = *back.recv();
  }
  there.close();
}

// Runs `client` in many goroutines, waits until all of them are in their calls, plays ping-pong,
// and lets them go on.
void show(const char* library, const char* way, const std::function<void()>& client,
          const std::function<void()>& await_all, const std::function<void()>& let_go) {
  hamgam::WaitGroup group;
  std::atomic<int> done{0};
  for (int i = 0; i < kClients; ++i) {
    group.go([&] {
      client();
      ++done;
    });
  }
  await_all();
  play_ping_pong();
  int const done_before = done;
  let_go();
  group.wait();
  std::printf("%s, %s: %d of %d done, then others went on, then %d\n", library, way, done_before,
              kClients, done.load());
}

// All wait for a lock that another connection has.
void show_postgres(const Way& way, const std::string& conninfo) {
  std::unique_ptr<Postgres> holder;
  way.call([&] {
    holder = std::make_unique<Postgres>(conninfo);
    (void)holder->execute("SELECT pg_advisory_lock(1)");
  });
  show(
      "PQexec", way.name,
      [&] {
        way.call([&] { (void)Postgres(conninfo).execute("SELECT pg_advisory_lock_shared(1)"); });
      },
      [&] {
        for (std::string waiting; waiting != std::to_string(kClients); hamgam::sleep(1ms)) {
          way.call([&] {
            waiting = holder->execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted");
          });
        }
      },
      [&] { way.call([&] { (void)holder->execute("SELECT pg_advisory_unlock(1)"); }); });
}

// All wait for the end of another connection's transaction.
void show_sqlite(const Way& way, const std::string& path) {
  Sqlite holder(path);
  holder.execute("DROP TABLE IF EXISTS moves; CREATE TABLE moves (id INTEGER); BEGIN IMMEDIATE");
  std::atomic<int> begun{0};
  show(
      "SQLite", way.name,
      [&] {
        way.call([&] {
          Sqlite mine(path);
          ++begun;
          mine.execute("INSERT INTO moves VALUES (1)");
        });
      },
      [&] {
        while (begun < kClients) {
          hamgam::sleep(1ms);
        }
      },
      [&] { holder.execute("COMMIT"); });
  holder.execute("DELETE FROM moves");
  if (holder.changes() != kClients) {
    throw std::logic_error("rows are missing");
  }
}

// All look the same name up.
void show_getaddrinfo(const Way& way) {
  show(
      "getaddrinfo", way.name,
      [&] {
        way.call([] {
          addrinfo* found = nullptr;
          if (getaddrinfo("localhost", "80", nullptr, &found) != 0) {
            throw std::runtime_error("localhost is not known");
          }
          freeaddrinfo(found);
        });
      },
      [] {}, [] {});
}

// A folder, gone afterwards.
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
  [[nodiscard]] std::string path() const { return folder_ / "moves.db"; }

 private:
  std::filesystem::path folder_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string const conninfo =
      argc > 1 ? argv[1] : "hostaddr=127.0.0.1 user=postgres dbname=postgres";
  return hamgam::run([&] {
    Scratch const scratch;
    for (const Way& way : {Way{"in blocking()", [](auto& f) { hamgam::blocking(f); }},
                           Way{"unannounced", [](auto& f) { f(); }}}) {
      show_postgres(way, conninfo);
      show_sqlite(way, scratch.path());
      show_getaddrinfo(way);
    }
  });
}
