package peering

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/proto/linkv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

// Of what one neighbour asks at once, one request is unpacked at a time: the largest take 25 MiB, which nobody knows before. All of them are answered.
func TestRequestsAreReadOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: provenPeer{conn: &provenConn{intake: newIntake(mostIntake)}}})
		method := measured(grpc.ServiceDesc{Methods: []grpc.MethodDesc{{Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return nil, read(&linkv1.ExecuteRequest{})
		}}}}).Methods[0].Handler
		var mu sync.Mutex
		now, most, done := 0, 0, 0
		reads := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			now += by
			most = max(most, now)
		}
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() {
				_, err := method(nil, ctx, func(any) error {
					reads(1)
					time.Sleep(time.Second)
					reads(-1)
					return nil
				}, nil)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				done++
			})
		}
		work.Wait()
		if most != 1 || done != 20 {
			t.Errorf("%d were read at once, %d of 20 came to an end", most, done)
		}
	})
}
