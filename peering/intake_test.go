package peering

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	pb "google.golang.org/protobuf/proto"
)

// Of what one neighbour asks at once, one request is read at a time. All of them are answered.
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

// A request that would unpack to as much as one neighbour may have under way is unpacked when what it did before is done, and half a second after that was
// unpacked at the earliest.
func TestLargeRequestIsUnpackedWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &modelv1.Table{Columns: []*modelv1.Column{{Name: "a"}}}
		for range model.MaxTableRows {
			table.Rows = append(table.Rows, &modelv1.Row{Cells: []*modelv1.Value{{Kind: &modelv1.Value_Bool{Bool: true}}, {}}})
		}
		raw, err := pb.Marshal(&linkv1.ExecuteRequest{Operation: &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Value: &modelv1.Value{Kind: &modelv1.Value_Table{Table: table}}}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: provenPeer{conn: &provenConn{intake: newIntake(mostIntake)}}})
		goes, unpacked := make(chan struct{}), make(chan time.Time, 3)
		method := measured(grpc.ServiceDesc{Methods: []grpc.MethodDesc{{Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var q linkv1.ExecuteRequest
			if err := read(&q); err != nil || len(q.GetSet().GetValue().GetTable().GetRows()) != model.MaxTableRows {
				t.Errorf("it was read as %d rows: %v", len(q.GetSet().GetValue().GetTable().GetRows()), err)
			}
			unpacked <- time.Now()
			<-goes
			return nil, nil
		}}}}).Methods[0].Handler
		began := time.Now()
		for range cap(unpacked) {
			go func() {
				_, _ = method(nil, ctx, func(into any) error { return proto.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, into) }, nil)
			}()
		}
		time.Sleep(3 * time.Second)
		if len(unpacked) != 1 {
			t.Errorf("%d are unpacked at once", len(unpacked))
		}
		close(goes)
		for i, want := range []time.Duration{0, 3 * time.Second, 3*time.Second + mostIntake*time.Second/mostUnpacked} {
			if at := (<-unpacked).Sub(began); at != want {
				t.Errorf("number %d was unpacked after %s, wanted %s", i+1, at, want)
			}
		}
		synctest.Wait()
		time.Sleep(time.Second) // what the last one had taken is given back
	})
}
