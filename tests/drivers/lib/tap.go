// Package tap prints TAP: tap.Case("title", func() { … }) fails where the function panics, as Same, OK and Fails do.
package tap

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
)

// Horse is a text that finds out who quotes and who counts bytes.
const Horse = "žluťoučký 'kůň' \"\\ 🐎"

// Pooled: Seawall is in between.
var Pooled = os.Getenv("DRIVERS_POOLED") != ""

var cases, failed int
var input = bufio.NewReader(os.Stdin)

func Case(title string, run func()) {
	cases++
	defer func() {
		if problem := recover(); problem != nil {
			failed++
			fmt.Printf("not ok %d - %s\n# %v\n", cases, title, problem)
			for _, line := range strings.Split(string(debug.Stack()), "\n") {
				if strings.Contains(line, "/drivers/") && !strings.Contains(line, "tap.go") {
					fmt.Println("#", strings.TrimSpace(line))
				}
			}
			return
		}
		fmt.Printf("ok %d - %s\n", cases, title)
	}()
	run()
}

func Done() {
	fmt.Printf("1..%d\n", cases)
	if failed > 0 {
		os.Exit(1)
	}
}

func OK(err error) {
	if err != nil {
		panic(err)
	}
}

func Same(expected, got interface{}) {
	if !reflect.DeepEqual(expected, got) {
		panic(fmt.Sprintf("expected %v, got %v", expected, got))
	}
}

// Fails: an error of this SQLSTATE; state reads it from an error of the driver.
func Fails(expected string, err error, state func(error) string) {
	if err == nil {
		panic("expected SQLSTATE " + expected + ", and it passed")
	}
	if got := state(err); got != expected {
		panic(fmt.Sprintf("expected SQLSTATE %s, got %q: %v", expected, got, err))
	}
}

// Within gives a context that ends in time for the program to report it.
func Within(seconds int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
}

// Restart: every node restarts before this returns.
func Restart() {
	fmt.Println("RESTART")
	input.ReadString('\n')
}
