// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// A database that can only be connected to.
type nothing struct{}

func (nothing) Open(string) (driver.Conn, error)          { return nothing{}, nil }
func (nothing) Prepare(query string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (nothing) Close() error                              { return nil }
func (nothing) Begin() (driver.Tx, error)                 { return nil, errors.ErrUnsupported }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func init() {
	sql.Register("nothing", nothing{})
	add("ResourcePool/acquire_release", one, func(workers, n int) {
		db := must(sql.Open("nothing", ""))
		defer db.Close()
		db.SetMaxOpenConns(8)
		ctx := context.Background()
		for i := 0; i < n; i++ {
			must(db.Conn(ctx)).Close()
		}
	})
	// Not the pool, only the grab of a connection that is held already.
	add("ResourcePool/grab_held", one, func(workers, n int) {
		db := must(sql.Open("nothing", ""))
		defer db.Close()
		held := must(db.Conn(context.Background()))
		defer held.Close()
		use := func(any) error { return nil }
		for i := 0; i < n; i++ {
			held.Raw(use)
		}
	})
}
