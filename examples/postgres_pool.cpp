// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// 2,000 goroutines each commit a transaction to a PostgreSQL server through a ResourcePool of eight
// connections. libpq is used as it is, in its non-blocking form: where it would wait for its socket
// the goroutine waits, with wait_readable. The server may be killed and come back in between: what
// was reported as committed must be there, and nothing twice.
//
//   postgres_pool [CONNINFO]
#include <hamgam/hamgam.h>
#include <hamgam/net.h>
#include <libpq-fe.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;

constexpr int kGoroutines = 2000;
constexpr int kConnections = 8;
constexpr auto kPatience = 60s;  // with a server that says nothing

// A connection.
class Postgres {
 public:
  explicit Postgres(const std::string& conninfo) : handle_(PQconnectStart(conninfo.c_str())) {
    PQsetNoticeProcessor(
        handle_.get(), [](void* /*unused*/, const char* /*text*/) {}, nullptr);
    // The manual: behave at first as if it had said "writing".
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
      if (next == PGRES_POLLING_FAILED || PQstatus(handle_.get()) == CONNECTION_BAD) {
        fail();
      }
      wait(next == PGRES_POLLING_WRITING);
      next = PQconnectPoll(handle_.get());
    }
    PQsetnonblocking(handle_.get(), 1);
  }

  // The first field of the last result, if it has any.
  std::string execute(const std::string& sql) {
    if (PQsendQuery(handle_.get(), sql.c_str()) == 0) {
      fail();
    }
    for (int left = 1; left != 0;) {
      left = PQflush(handle_.get());
      if (left < 0) {
        fail();
      }
      if (left > 0) {
        wait(true);
      }
    }
    std::string field;
    std::string refusal;
    while (auto const result = next_result()) {
      ExecStatusType const status = PQresultStatus(result.get());
      if (status == PGRES_TUPLES_OK && PQntuples(result.get()) > 0) {
        field = PQgetvalue(result.get(), 0, 0);
      } else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        refusal = PQresultErrorMessage(result.get());
      }
    }
    if (!refusal.empty()) {
      throw std::runtime_error(refusal);
    }
    return field;
  }

  // Fit to be used again? A server that is gone has left its farewell in the socket.
  [[nodiscard]] bool idle() {
    return PQconsumeInput(handle_.get()) == 1 && PQstatus(handle_.get()) == CONNECTION_OK &&
           PQtransactionStatus(handle_.get()) == PQTRANS_IDLE;
  }

 private:
  struct Finish {
    void operator()(PGconn* handle) const { PQfinish(handle); }
    void operator()(PGresult* result) const { PQclear(result); }
  };

  std::unique_ptr<PGresult, Finish> next_result() {
    while (PQisBusy(handle_.get()) != 0) {
      wait(false);
      if (PQconsumeInput(handle_.get()) == 0) {
        fail();
      }
    }
    return std::unique_ptr<PGresult, Finish>(PQgetResult(handle_.get()));
  }

  void wait(bool to_write) const {
    int const socket = PQsocket(handle_.get());
    if (!(to_write ? hamgam::net::wait_writable_for(socket, kPatience)
                   : hamgam::net::wait_readable_for(socket, kPatience))) {
      throw std::runtime_error("the server says nothing");
    }
  }

  [[noreturn]] void fail() const { throw std::runtime_error(PQerrorMessage(handle_.get())); }

  std::unique_ptr<PGconn, Finish> handle_;
};

using Postgreses = hamgam::ResourcePool<Postgres>;

// Once, whatever happens to the connection or the server.
void commit(Postgreses& pool, const std::string& id, hamgam::Atomic<int>& failures) {
  for (bool unsure = false;;) {
    Postgreses::Lease postgres;
    try {
      postgres = pool.acquire();
      if (unsure && postgres->execute("SELECT COUNT(*) FROM moves WHERE id = " + id) != "0") {
        return;
      }
      (void)postgres->execute("BEGIN; INSERT INTO moves VALUES (" + id +
                              ", 1); INSERT INTO moves VALUES (" + id + ", -1); COMMIT");
      return;
    } catch (const std::exception&) {
      unsure = true;  // the connection broke, perhaps after the commit
      postgres.discard();
      failures.add(1);
      hamgam::sleep(10ms);
    }
  }
}

// A question, which may be asked again until there is an answer.
std::string ask(Postgreses& pool, const std::string& sql) {
  for (;;) {
    Postgreses::Lease postgres;
    try {
      postgres = pool.acquire();
      return postgres->execute(sql);
    } catch (const std::exception&) {
      postgres.discard();
      hamgam::sleep(10ms);
    }
  }
}

int work(const std::string& conninfo) {
  Postgreses pool([conninfo] { return Postgres(conninfo); },
                  {.max_open = kConnections, .max_idle = kConnections},
                  [](Postgres& postgres) { return postgres.idle(); });
  (void)pool.acquire()->execute(
      "DROP TABLE IF EXISTS moves; CREATE TABLE moves (id INTEGER, amount INTEGER);"
      "CREATE INDEX moves_by_id ON moves (id)");
  hamgam::Atomic<int> failures{0};
  hamgam::Atomic<int> committed{0};
  auto const begin = std::chrono::steady_clock::now();
  hamgam::WaitGroup group;
  for (int i = 0; i < kGoroutines; ++i) {
    group.go([&, i] {
      commit(pool, std::to_string(i), failures);
      if (committed.add(1) == kGoroutines / 2) {
        std::puts("half way");
        std::fflush(stdout);
      }
    });
  }
  group.wait();
  std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - begin;

  std::string const once = ask(pool,
                               "SELECT COUNT(*) FROM (SELECT id FROM moves GROUP BY id "
                               "HAVING COUNT(*) = 2 AND SUM(amount) = 0) AS whole");
  std::string const rows = ask(pool, "SELECT COUNT(*) FROM moves");
  auto const stats = pool.stats();
  std::printf("%d committed, %s there once, in %s rows\n", committed.load(), once.c_str(),
              rows.c_str());
  std::printf("(%.0f ms, %d failures, %zu connections, %zu in use)\n", took.count(),
              failures.load(), stats.open, stats.in_use);
  bool const right = once == std::to_string(kGoroutines) &&
                     rows == std::to_string(2 * kGoroutines) && stats.open <= kConnections &&
                     stats.in_use == 0;
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string const conninfo =
      argc > 1 ? argv[1] : "hostaddr=127.0.0.1 user=postgres dbname=postgres";
  return hamgam::run([&] { return work(conninfo); });
}
