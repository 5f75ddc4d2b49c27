package modbus

import (
	"encoding/binary"
	"fmt"
	"io"

	"banyan/model"
)

// Function codes of the Modbus Application Protocol Specification V1.1b3, chapter 6.
const (
	readCoils              = 0x01
	readDiscreteInputs     = 0x02
	readHoldingRegisters   = 0x03
	readInputRegisters     = 0x04
	writeSingleCoil        = 0x05
	writeSingleRegister    = 0x06
	writeMultipleRegisters = 0x10
	exceptionBit           = 0x80
)

// Limits of one request, from the same chapter.
const (
	mostRegisters = 125
	mostBits      = 2000
	mostWritten   = 123
	mostPDU       = 253
	headerBytes   = 7 // MBAP: transaction, protocol, length, unit
)

// Exception is a device's refusal of a request.
type Exception struct {
	Function, Code byte
}

var exceptionTexts = map[byte]string{
	1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure", 5: "acknowledge: it takes longer",
	6: "server device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target device failed to respond",
}

// Error names the exception as the specification does.
func (e *Exception) Error() string {
	text, known := exceptionTexts[e.Code]
	if !known {
		text = "unknown"
	}
	return fmt.Sprintf("exception %d, %s (function %d)", e.Code, text, e.Function)
}

// kind sorts an exception: a gateway whose device is silent says so by 10 and 11, and that is no answer of the device.
func (e *Exception) kind() model.ErrorKind {
	if e.Code == 10 || e.Code == 11 {
		return model.KindUnavailable
	}
	return model.KindInvalid
}

// appendRequest encodes a request with its header.
func appendRequest(to []byte, transaction uint16, unit byte, pdu []byte) []byte {
	to = binary.BigEndian.AppendUint16(to, transaction)
	to = binary.BigEndian.AppendUint16(to, 0) // Modbus
	to = binary.BigEndian.AppendUint16(to, uint16(len(pdu)+1))
	return append(append(to, unit), pdu...)
}

// readResponse reads one response. What is no Modbus at all ends the connection: nothing behind it could be trusted.
func readResponse(from io.Reader, buffer *[headerBytes + mostPDU]byte) (transaction uint16, unit byte, pdu []byte, err error) {
	if _, err := io.ReadFull(from, buffer[:headerBytes]); err != nil {
		return 0, 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(buffer[4:]))
	if protocol := binary.BigEndian.Uint16(buffer[2:]); protocol != 0 || length < 2 || length > mostPDU+1 {
		return 0, 0, nil, malformed("the header says protocol %d and %d bytes", protocol, length)
	}
	pdu = buffer[headerBytes : headerBytes+length-1]
	if _, err := io.ReadFull(from, pdu); err != nil {
		return 0, 0, nil, err
	}
	return binary.BigEndian.Uint16(buffer[:]), buffer[6], pdu, nil
}

// payload checks that a response answers a request, and returns what is behind the function code.
func payload(request, response []byte) ([]byte, error) {
	function := request[0]
	switch {
	case len(response) == 2 && response[0] == function|exceptionBit:
		return nil, &Exception{Function: function, Code: response[1]}
	case response[0] != function:
		return nil, malformed("function %d was asked for and %d answered", function, response[0])
	}
	return response[1:], nil
}

// data checks the answer to a reading of count registers or bits.
func data(answer []byte, bytes int) ([]byte, error) {
	if len(answer) != bytes+1 || int(answer[0]) != bytes {
		return nil, malformed("%d bytes of data were asked for and %d came", bytes, len(answer)-1)
	}
	return answer[1:], nil
}

// malformedError is an answer that is no Modbus. The connection it came on is of no more use.
type malformedError struct{ text string }

func (e *malformedError) Error() string { return "the answer is not Modbus: " + e.text }

func malformed(format string, args ...any) error {
	return &malformedError{fmt.Sprintf(format, args...)}
}
