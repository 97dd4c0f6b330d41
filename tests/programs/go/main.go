// Several goroutines hash blocks that they get from one channel and answer on another: Go's own threads, stacks and calls.
package main

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
)

type answer struct {
	block int
	sum   [32]byte
}

func main() {
	const blocks, workers = 400, 8
	runtime.GOMAXPROCS(4)
	todo := make(chan int)
	answers := make(chan answer, 16)
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for block := range todo {
				data := make([]byte, 64*1024) // garbage for the collector, too
				for i := range data {
					data[i] = byte(i*block + i>>8)
				}
				answers <- answer{block, sha256.Sum256(data)}
			}
		}()
	}
	go func() {
		for block := 0; block < blocks; block++ {
			todo <- block
		}
		close(todo)
		group.Wait()
		close(answers)
	}()
	var sums [blocks][32]byte
	for a := range answers {
		sums[a.block] = a.sum
	}
	whole := sha256.New()
	for _, sum := range sums {
		whole.Write(sum[:])
	}
	fmt.Printf("%d blocks %x\n", blocks, whole.Sum(nil))
}
