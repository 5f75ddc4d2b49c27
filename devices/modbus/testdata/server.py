# A Modbus TCP server with known registers, for the tests: server.py ADDRESS PORT
import struct
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import StartTcpServer

holding = [0] * 400
inputs = [0] * 400


def put(block, at, form, *values):
    raw = struct.pack(">" + form, *values)
    for i in range(0, len(raw), 2):
        block[at + i // 2] = raw[i] << 8 | raw[i + 1]


put(holding, 0, "H", 2301)  # voltage, tenths of a volt
put(holding, 1, "h", -125)  # temperature, tenths of a degree
put(holding, 2, "I", 4000000000)
put(holding, 4, "i", -70000)
put(holding, 6, "q", -5000000000)
put(holding, 10, "f", 49.98)
put(holding, 12, "d", 1234567.125)
put(holding, 20, "HH", 0x5678, 0x1234)  # 0x12345678, low word first
put(holding, 22, "HH", 0x3412, 0x7856)  # bytes exchanged
put(holding, 24, "HH", 0x7856, 0x3412)  # both
put(holding, 30, "16s", b"PM-5000  rev B\0\0")
put(holding, 40, "H", 0b101)  # flags
put(holding, 50, "H", 2)  # mode
put(holding, 60, "H", 215)  # setpoint, tenths
put(holding, 62, "f", 1.5)
for n in range(3):
    put(inputs, 100 + 10 * n, "f", 10.5 + n)
    put(inputs, 102 + 10 * n, "8s", b"feed %d\0\0" % (n + 1))

unit = ModbusSlaveContext(
    di=ModbusSequentialDataBlock(0, [0, 1] * 20),
    co=ModbusSequentialDataBlock(0, [1, 0] * 20),
    hr=ModbusSequentialDataBlock(0, holding),
    ir=ModbusSequentialDataBlock(0, inputs),
    zero_mode=True,
)
StartTcpServer(context=ModbusServerContext(slaves={7: unit}, single=False), address=(sys.argv[1], int(sys.argv[2])))
