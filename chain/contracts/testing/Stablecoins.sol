// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StandardTestToken, TestToken} from "./TestToken.sol";

/// @title Behaves like Circle's USDC: 6 decimals, pausable, refuses blacklisted senders and recipients
/// @notice The same contract deployed under the same symbol serves as the look-alike.
contract UsdcLike is StandardTestToken {
    event Blacklisted(address indexed account);
    event UnBlacklisted(address indexed account);

    bool public paused;
    /// The blacklist is the top bit of the balance, as in USDC 2.2, so that gas is comparable.
    uint256 private constant BLACKLISTED = 1 << 255;

    constructor(string memory name_, string memory symbol_) StandardTestToken() TestToken(name_, symbol_, 6) {}

    function blacklist(address account) external {
        _balances[account] |= BLACKLISTED;
        emit Blacklisted(account);
    }

    function unBlacklist(address account) external {
        _balances[account] &= ~BLACKLISTED;
        emit UnBlacklisted(account);
    }

    function setPaused(bool value) external {
        paused = value;
    }

    function isBlacklisted(address account) external view returns (bool) {
        return _balances[account] & BLACKLISTED != 0;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return _balances[account] & ~BLACKLISTED;
    }

    function _move(address from, address to, uint256 amount) internal override {
        require(!paused, "Pausable: paused");
        uint256 source = _balances[from];
        uint256 target = _balances[to];
        require((source | target) & BLACKLISTED == 0, "Blacklistable: account is blacklisted");
        require(source >= amount, "ERC20: transfer amount exceeds balance");
        unchecked {
            _balances[from] = source - amount;
        }
        _balances[to] += amount;
        emit Transfer(from, to, amount);
    }
}

/// @title Behaves like Tether's USDT on Ethereum: 6 decimals, answers nothing, pays blacklisted recipients
contract UsdtLike is TestToken {
    event AddedBlackList(address account);
    event RemovedBlackList(address account);

    bool public paused;
    mapping(address account => bool listed) public isBlackListed;
    /// Zero and false on Ethereum too, and read by every transfer: without them gas is not comparable.
    bool public deprecated;
    uint256 public basisPointsRate;
    uint256 public maximumFee;

    constructor() TestToken("Tether USD", "USDT", 6) {}

    function transfer(address to, uint256 amount) external {
        require(!paused, "paused");
        require(!isBlackListed[msg.sender], "blacklisted sender");
        require(!deprecated, "deprecated");
        require(_fee(amount) == 0, "no fee is charged here");
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        require(!paused, "paused");
        require(!isBlackListed[from], "blacklisted sender");
        require(!deprecated, "deprecated");
        require(_fee(amount) == 0, "no fee is charged here");
        _spend(from, amount);
        _move(from, to, amount);
    }

    function _fee(uint256 amount) private view returns (uint256 fee) {
        fee = (amount * basisPointsRate) / 10_000;
        if (fee > maximumFee) fee = maximumFee;
    }

    function approve(address spender, uint256 amount) external {
        _approve(spender, amount);
    }

    function addBlackList(address account) external {
        isBlackListed[account] = true;
        emit AddedBlackList(account);
    }

    function removeBlackList(address account) external {
        isBlackListed[account] = false;
        emit RemovedBlackList(account);
    }

    function setPaused(bool value) external {
        paused = value;
    }
}

/// @title Behaves like DAI: 18 decimals, nothing special
contract DaiLike is StandardTestToken {
    constructor() StandardTestToken() TestToken("Dai Stablecoin", "DAI", 18) {}
}
