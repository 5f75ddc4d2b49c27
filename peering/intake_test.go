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

// A request that is being done holds up nobody: another of the same neighbour is read and answered meanwhile.
func TestRequestThatLastsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: provenPeer{conn: &provenConn{intake: newIntake(mostIntake)}}})
		goes, done := make(chan struct{}), make(chan struct{})
		method := measured(grpc.ServiceDesc{Methods: []grpc.MethodDesc{{Handler: func(lasts any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			err := read(&linkv1.ExecuteRequest{})
			if lasts.(bool) {
				<-goes
			}
			return nil, err
		}}}}).Methods[0].Handler
		ask := func(lasts bool) {
			if _, err := method(lasts, ctx, func(any) error { return nil }, nil); err != nil {
				t.Error(err)
			}
			done <- struct{}{}
		}
		go ask(true)
		synctest.Wait()
		go ask(false)
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("it waits for one that is still being done")
		}
		close(goes)
		<-done
	})
}
