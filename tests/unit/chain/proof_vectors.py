"""Blocks that other software made, with the place each was taken from.

Only data of blocks: fields of headers, transactions and logs, and the roots over them.
"""

from __future__ import annotations

from typing import Any

ZERO_BLOOM = "0x" + "00" * 256
ZERO_HASH = "0x" + "00" * 32
NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"

# ethereum/execution-apis at 084f3351, tests/eth_getBlockByNumber/get-latest.io and
# tests/eth_getBlockReceipts/get-block-receipts-latest.io: geth, Cancun, one legacy transfer.
CANCUN: dict[str, Any] = {
    "baseFeePerGas": "0x122b0b07", "blobGasUsed": "0x0", "difficulty": "0x0",
    "excessBlobGas": "0x0", "extraData": "0x", "gasLimit": "0x4c4b40", "gasUsed": "0x5208",
    "hash": "0x964d283132cb48ac3bb1ca547eded15d0be12e6eb9a6cd2b6c6befa55abe2353",
    "logsBloom": ZERO_BLOOM, "miner": "0x" + "00" * 20, "mixHash": ZERO_HASH,
    "nonce": "0x0000000000000000", "number": "0x9",
    "parentBeaconBlockRoot": "0x08" + "00" * 31,
    "parentHash": "0xce41fa6e97087fc7d44e8d78ae9ceb5ae12b4a6ea62e3267b8e361d0e9998088",
    "receiptsRoot": "0x056b23fbba480696b65fe5a59b8f2148a1299103c4f57df839233af2cf4ca2d2",
    "sha3Uncles": NO_UNCLES,
    "stateRoot": "0x4074540dbcba4fa5a5aa83edc2a6ab3308672a9ab96f6003b5b2641366028051",
    "timestamp": "0x5a",
    "transactions": [{
        "gas": "0x5208", "gasPrice": "0x122b0b08",
        "hash": "0x942faee0335edac51134e2e06ecab8ca959deea57759b3b46dd2cf18e33d3aae",
        "input": "0x", "nonce": "0x8", "to": "0x658bdf435d810c91414ec09147daa6db62406379",
        "value": "0x3e8", "type": "0x0", "chainId": "0x539", "v": "0xa95",
        "r": "0x7affe284362d923e16a9621355bb546e998fdebf56cd5e1a2582666bca65ee7e",
        "s": "0x67b6d30f6bc00446a647164a643bd91cc2bbdef350de25b81490c8300efab645",
    }],
    "transactionsRoot": "0x8bc9b75c39d7668e0eace0e912a0091f09dc2afc22a6d7450c0b6d0723dcac8b",
    "withdrawalsRoot": EMPTY_ROOT,
}  # fmt: skip
CANCUN_RECEIPTS: list[dict[str, Any]] = [{
    "blockHash": "0x964d283132cb48ac3bb1ca547eded15d0be12e6eb9a6cd2b6c6befa55abe2353",
    "blockNumber": "0x9", "contractAddress": None, "cumulativeGasUsed": "0x5208",
    "effectiveGasPrice": "0x122b0b08", "from": "0x658bdf435d810c91414ec09147daa6db62406379",
    "gasUsed": "0x5208", "logs": [], "logsBloom": ZERO_BLOOM, "status": "0x1",
    "to": "0x658bdf435d810c91414ec09147daa6db62406379",
    "transactionHash": "0x942faee0335edac51134e2e06ecab8ca959deea57759b3b46dd2cf18e33d3aae",
    "transactionIndex": "0x0", "type": "0x0",
}]  # fmt: skip

# ethereum/execution-apis at 0f52389c, tests/eth_getBlockByNumber/get-block-eip7685-requests.io:
# geth, Prague, transactions of types 1, 3, 0, 2. (Its receipts are not in that file.)
PRAGUE_TARGET = "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df"
PRAGUE_CHAIN = "0xc72dd9d5e883e"
PRAGUE: dict[str, Any] = {
    "baseFeePerGas": "0x282416a7", "blobGasUsed": "0x20000", "difficulty": "0x0",
    "excessBlobGas": "0x0", "extraData": "0x", "gasLimit": "0x23f3e20", "gasUsed": "0x46a08",
    "hash": "0x5b1f1a15536ae8a099c399f15163349d7ba167048b30acee6cb1ece4ede1d43f",
    "logsBloom": "0x00000000000000000000000008000000000000000000000000000000800000000000000400000000000000400000000000000000000000200000000000000000000000000000000000004000000000000200000000000000004000000000002000000000000000000000000000000000000000000000000000000010000000000000000000002000000000000000000000000000000000400000000000000000000000000000009000000000000000000000000000000000000000000000000000000000000000000400000000000000000000000000000000000000008000000000000000000000000000000000000200000000000000000000000000000000",
    "miner": "0x" + "00" * 20, "mixHash": ZERO_HASH, "nonce": "0x0000000000000000",
    "number": "0x3",
    "parentBeaconBlockRoot": "0x756e335a8778f6aadb2cc18c5bc68892da05a4d8b458eee5ce3335a024000c67",
    "parentHash": "0xf8b6ea3c507e3d7064c54794c1cdc643f36a6bd0565c1fd748add98c9b8d8bcc",
    "receiptsRoot": "0x5f7e046f4b5c311a55d03ffb28ac8c8317bdc33d64b4dd36e6cc80b26982f052",
    "requestsHash": "0x57cac3e52cdcd73e52bd9e54956e0eae370f00ed41f68edc78266bdb46c3a543",
    "sha3Uncles": NO_UNCLES,
    "stateRoot": "0x1a484651602ae733584016c5dfab95de8cfa74d9c749c9e2fe773bc8e8a325df",
    "timestamp": "0x1e",
    "transactions": [
        {
            "gas": "0x186a0", "gasPrice": "0x282416a8",
            "hash": "0xb00c941f8e42af20643367da74a99bcde643c99f9fcf52d100942ad7c2751881",
            "input": "0xdc4c8669df128318656d6974", "nonce": "0xa", "to": PRAGUE_TARGET,
            "value": "0x2", "type": "0x1",
            "accessList": [{"address": PRAGUE_TARGET, "storageKeys": [
                ZERO_HASH,
                "0x462708a3c1cd03b21605715d090136df64e227f7e7792f74bb1bd7a8288f8801",
            ]}],
            "chainId": PRAGUE_CHAIN, "v": "0x1",
            "r": "0xf341a34ae4f66c156552aa672d054c685a361240c66ef75c07f65ac69b1e2f7a",
            "s": "0x7200d4f70fdeb984fee0dbe79a3d729ee28a392f5f58cda722c0212123df95cf",
            "yParity": "0x1",
        },
        {
            "gas": "0x186a0", "gasPrice": "0x282416a8", "maxFeePerGas": "0x282416a8",
            "maxPriorityFeePerGas": "0x1", "maxFeePerBlobGas": "0x20000",
            "hash": "0x7c23e4bfb909cf1027706b23b5dae161a66d5446d7c505e05ba03c97327c9770",
            "input": "0x3f446a7c4145b1f0656d6974", "nonce": "0xb", "to": PRAGUE_TARGET,
            "value": "0x3", "type": "0x3",
            "accessList": [{"address": PRAGUE_TARGET, "storageKeys": [
                ZERO_HASH,
                "0xb52248fb459b43720abbf1d5218c4ede9036a623653b31c2077991e04da9a456",
            ]}],
            "chainId": PRAGUE_CHAIN,
            "blobVersionedHashes": [
                "0x015a4cab4911426699ed34483de6640cf55a568afc5c5edffdcbd8bcd4452f68",
            ],
            "v": "0x1",
            "r": "0x3f05d73d107c94d50470342a6c5d133dca225f858d68ea4fd95fa16503c217b7",
            "s": "0x5e94d20059c6191f17297401df493a5a1e93265a22c306024bd9d87016034e13",
            "yParity": "0x1",
        },
        {
            "gas": "0x186a0", "gasPrice": "0x282416a8",
            "hash": "0xe6303c0c25555cca9c404f53485be34be8c2327c02d0d1c306f2988be59c35d5",
            "input": "0x96fd14b8fdcbd4a9656d6974", "nonce": "0xc", "to": PRAGUE_TARGET,
            "value": "0x2", "type": "0x0", "chainId": PRAGUE_CHAIN, "v": "0x18e5bb3abd109f",
            "r": "0x5b328d8b937fcdb5b6f4b7966406b8ed2b931933a1562d14b5fc90bfc679d801",
            "s": "0x36f6a5c3791f10762d299f391c1327480f8d51fb69ac98c161ebf466d91db3",
        },
        {
            "gas": "0x249f0", "gasPrice": "0x282416a8", "maxFeePerGas": "0x282416a8",
            "maxPriorityFeePerGas": "0x2",
            "hash": "0x834877cf885973710dbea20f5a73ac9c1fa932e9dc0d74f090c9fca2fe281a18",
            "input": "0xb917cfdc0d25b72d55cf94db328e1629b7f4fde2c30cdacf873b664416f76a0c7f7cc50c9f72a3cb84be88144cde91250000000000000d80",
            "nonce": "0xd", "to": "0x09fc772d0857550724b07b850a4323f39112aaaa",
            "value": "0x3b9aca00", "type": "0x2", "accessList": [], "chainId": PRAGUE_CHAIN,
            "v": "0x0",
            "r": "0x883cbfe8510f86be00f75a5b67e5e589e5db735e52681feffafb2f8448450bf1",
            "s": "0x7760414c0411c354c69f05489f275dad0777255c2414fb705cf229d5f0c2c29b",
            "yParity": "0x0",
        },
    ],
    "transactionsRoot": "0xef3818352b94fca264dc37feb9a6748e00185ea54291655b716f57ebab28d3af",
    "withdrawalsRoot": EMPTY_ROOT,
}  # fmt: skip

# Block 274 of an OP-stack chain after Canyon, as an RPC reply in the tests of a Rust rollup
# client: one deposit and nothing else, so that its receipt follows from the header (all the
# gas, no logs) and the transaction (nonce 0x111, receipt version 1).
CANYON: dict[str, Any] = {
    "baseFeePerGas": "0x1418f329", "difficulty": "0x0", "extraData": "0x",
    "gasLimit": "0x1c9c380", "gasUsed": "0xb76d",
    "hash": "0xfc70e073ec6e1bb7f387698e4be418d7b1ff2216f625cdf41e1b80fb08029ef5",
    "logsBloom": ZERO_BLOOM, "miner": "0x4200000000000000000000000000000000000011",
    "mixHash": "0x8bc8a48326d9309959f2452206c1c842be9fcc9840c789845caab9d290a9700c",
    "nonce": "0x0000000000000000", "number": "0x112",
    "parentHash": "0xcfbc479d5f63476538db9ff15295167a6e91ecc9d6cf54be471eded689c251c9",
    "receiptsRoot": "0x8c303881b3e408cc739f55ef3e5133075d552cbec9ee987aff6b71f58cf291ee",
    "sha3Uncles": NO_UNCLES,
    "stateRoot": "0x86be45fb7a22b8c12cbce8d538372b800377cc589de590b6d88f5f65dde97df8",
    "timestamp": "0x65da607b",
    "transactions": [{
        "from": "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001", "gas": "0xf4240",
        "gasPrice": "0x0",
        "hash": "0x13a644af4f64ce801dcd57faa823e8952f2290b810fdd31995dda62977ed3df1",
        "input": "0x015d8eb90000000000000000000000000000000000000000000000000000000001267f330000000000000000000000000000000000000000000000000000000065da6073000000000000000000000000000000000000000000000000000000075d3f861097c24796a4f639846a6a3ea3a59c11de8d89e11f551bae8feca9271a78926d420000000000000000000000000000000000000000000000000000000000000004000000000000000000000000415c8893d514f9bc5211d36eeda4183226b84aa700000000000000000000000000000000000000000000000000000000000000bc00000000000000000000000000000000000000000000000000000000000a6fe0",
        "nonce": "0x111", "to": "0x4200000000000000000000000000000000000015", "value": "0x0",
        "type": "0x7e", "v": "0x0", "r": "0x0", "s": "0x0", "mint": "0x0",
        "sourceHash": "0x5a1b66228a26547e2ce6fe1aa734d2c34e062e42ccd5710463e6987890f1ad5d",
    }],
    "transactionsRoot": "0xb01a2ad2c1ceb76f2edcdc02f2e0453c52e24c421fb04132cdfc0da5b70a593e",
    "withdrawalsRoot": EMPTY_ROOT,
}  # fmt: skip
CANYON_RECEIPTS: list[dict[str, Any]] = [{
    "blockHash": CANYON["hash"], "blockNumber": "0x112", "contractAddress": None,
    "cumulativeGasUsed": "0xb76d", "gasUsed": "0xb76d", "effectiveGasPrice": "0x0",
    "from": "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001", "logs": [], "logsBloom": ZERO_BLOOM,
    "status": "0x1", "to": "0x4200000000000000000000000000000000000015",
    "transactionHash": CANYON["transactions"][0]["hash"], "transactionIndex": "0x0",
    "type": "0x7e", "depositNonce": "0x111", "depositReceiptVersion": "0x1",
}]  # fmt: skip

# A block of Base's test network between Regolith and Canyon, from the tests of
# paradigmxyz/reth (Optimism receipt root): (type, cumulative gas, [(contract, topics, data)]).
REGOLITH_ROOT = "0xe255fed45eae7ede0556fe4fabc77b0d294d18781a5a581cab09127bc4cd9ffb"
_TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_SINGLE = "c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
_OTHER = "0eb774bb9698a73583fe07b6972cf2dcc08d1d97581a22861f45feb86b395820"
_SYNC = "1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
_SWAP = "d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
_GAME, _NFT = "ddb6dcce6b794415145eb5caa6cd335aeda9c272", "ac6564f3718837caadd42eed742d75c12b90a052"
_PAIR, _PAIR2 = (
    "2992607c1614484fe6d865088e5c048f0650afd4",
    "8dbffe4c8bf3caf5deae3a99b50cfcf3648cbc09",
)
_ROUTER, _TRADER = (
    "29843613c7211d014f5dd5718cf32bcd314914cb",
    "c3feb4ef4c2a5af77add15c95bd98f6b43640cc8",
)
_MINTER = "a4fa7f3fbf0677f254ebdb1646146864c305b76e"
_URI = f"{55:064x}" + (
    b"ipfs://QmQQAdk3se89kGqew9RVVz1khd5H7UbGmMJHZbVo8jm4oJ/0".ljust(64, b"\0").hex()
)


def _word(number: int) -> str:
    return f"{number:064x}"


def _game(player: str) -> list[tuple[str, list[str], str]]:
    return [
        (_GAME, [_SINGLE, player, player, "0"], _word(2) + _word(1)),
        (_GAME, [_SINGLE, player, "0", player], _word(3) + _word(1)),
        (_GAME, [_OTHER, player, player], _word(3)),
    ]


REGOLITH: list[tuple[int, int, list[tuple[str, list[str], str]]]] = [
    (0x7E, 46913, []),
    (2, 118083, _game("c498902843af527e674846bb7edefa8ad62b8fb9")),
    (2, 189253, _game("9d521a04bee134ff8136d2ec957e5bc8c50394ec")),
    (2, 346969, [
        ("4200000000000000000000000000000000000006", [_TRANSFER, _TRADER, _PAIR], _word(0x18DE76816D8000)),
        ("cf8e7e6b26f407dee615fc4db18bf829e7aa8c09", [_TRANSFER, _PAIR, _PAIR2], _word(0x2D24D8E9AC1AA79E2)),
        (_PAIR, [_SYNC], _word(0x9BD50642785C15736) + _word(0x11BB7AC324F724A29BBBF)),
        (_PAIR, [_SWAP, _ROUTER, _PAIR2],
         _word(0x18DE76816D8000) + _word(0) + _word(0) + _word(0x2D24D8E9AC1AA79E2)),
        ("6d0f8d488b669aa9ba2d0f0b7b75a88bf5051cd3", [_TRANSFER, _PAIR2, _TRADER], _word(0x14BC73062AEA8093)),
        (_PAIR2, [_SYNC], _word(0x2F122CFADC1CA82A35) + _word(0x665879DC0609945D6D1)),
        (_PAIR2, [_SWAP, _ROUTER, _TRADER],
         _word(0) + _word(0x2D24D8E9AC1AA79E2) + _word(0x14BC73062AEA8093) + _word(0)),
    ]),
    (2, 623249, [
        (_NFT, [_TRANSFER, "0", _MINTER, "11a1d3"], ""),
        (_NFT, ["9d89e36eadf856db0ad9ffb5a569e07f95634dddd9501141ecf04820484ad0dc", _MINTER, "11a1d3"],
         _word(32) + _URI),
        (_NFT, ["110d160a1bedeea919a88fbc4b2a9fb61b7e664084391b6ca2740db66fef80fe",
                "84d47f6eea8f8d87910448325519d1bb45c2972a", _MINTER, "11a1d3"],
         _word(32) + _MINTER.rjust(64, "0") + _word(0) * 3 + _word(0x140) + _word(0)
         + ("ee" * 20).rjust(64, "0") + _word(0) + _word(0x77175007)
         + b"b40406a505db4c9a8ac1d30c5c3202e7".hex() + _URI),
    ]),
]  # fmt: skip
